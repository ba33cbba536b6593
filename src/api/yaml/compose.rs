//! YAML: libyaml's events → nodes → values.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use libyaml_safer::{Encoding, Error, Event, EventData, Mark, Parser, Scanner, TokenData};
use serde_json::{Map, Value};

use super::{DEEP, scalar};

/// Deepest nesting that is read.
const DEPTH: usize = 256;
/// Nodes that aliases may repeat in one document; go-yaml draws its line nearby.
const REPEATED: usize = 400_000;
const TAB: &str = "a tab is used where YAML allows only spaces; replace it with spaces";
const MALFORMED: &str = "it is not well-formed YAML: look for indentation, quotes, brackets and colons";

/// Lines whose tabs may be taken for blanks, each of which costs another pass.
const RETABBED: usize = 1_000;

/// The documents that begin at `start`. After a syntax error reading goes on at the next `---`.
pub(super) fn documents(text: &str, start: usize) -> Vec<Result<Value, String>> {
    let mut text = Cow::Borrowed(text);
    let mut found = Vec::new();
    let (mut start, mut retabbed) = (start, 0);
    loop {
        let before = found.len();
        let Some(stop) = read(&text, start, &mut found) else { return found };
        if let Some(tab) = stop.tab.filter(|tab| retabbed < RETABBED && is_in_brackets(&text[start..*tab])) {
            // Inside brackets tabs are white space to YAML 1.2, but not to libyaml behind a text without quotes.
            let tabs = text[tab..].len() - text[tab..].trim_start_matches('\t').len();
            text.to_mut().replace_range(tab..tab + tabs, &" ".repeat(tabs));
            found.truncate(before);
            retabbed += 1;
            continue;
        }
        match separator(&text, stop.line) {
            Some(next) => start = next,
            None => return found,
        }
    }
}

/// A syntax error.
struct Stop {
    /// The first line at which the next document may begin.
    line: usize,
    /// The tab that is wrong.
    tab: Option<usize>,
}

/// Reads from `start` to the end or the first syntax error.
fn read(text: &str, start: usize, found: &mut Vec<Result<Value, String>>) -> Option<Stop> {
    let before = &text[..start];
    let line = before.matches('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let tell = |fault: &Fault| {
        let (at, own_line) = (fault.at, usize::try_from(fault.at.line).unwrap_or_default());
        let column = at.column + if own_line == 0 { column as u64 } else { 0 } + 1;
        format!("line {}, column {column}: {}", own_line + line + 1, fault.cause)
    };
    let mut source = Source::new(&text[start..]);
    loop {
        match source.document() {
            Ok(None) => return None,
            Ok(Some(root)) => match Values::default().of(&root, 0) {
                Ok(Value::Null) => {}
                Ok(value) => found.push(Ok(value)),
                Err(fault) => found.push(Err(tell(&fault))),
            },
            Err(fault) => {
                found.push(Err(tell(&fault)));
                let reached = line + usize::try_from(source.last.line.max(fault.at.line)).unwrap_or_default();
                let tab = source.offset(fault.at).filter(|_| fault.cause == TAB).map(|at| start + at);
                return Some(Stop { line: reached.max(line + 1), tab });
            }
        }
    }
}

/// Whether the text ends within brackets or braces.
fn is_in_brackets(text: &str) -> bool {
    let mut scanner = Scanner::new();
    scanner.set_input(text.as_bytes());
    scanner.set_encoding(Encoding::Utf8);
    let mut open = 0_usize;
    // It panics where the parser does.
    while let Ok(Some(Ok(token))) = std::panic::catch_unwind(AssertUnwindSafe(|| scanner.next())) {
        match token.data {
            TokenData::FlowSequenceStart | TokenData::FlowMappingStart => open += 1,
            TokenData::FlowSequenceEnd | TokenData::FlowMappingEnd => open = open.saturating_sub(1),
            TokenData::StreamEnd => break,
            _ => {}
        }
    }
    open > 0
}

/// Where the first line from this one on begins a document.
fn separator(text: &str, from: usize) -> Option<usize> {
    let mut begin = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number >= from
            && line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            return Some(begin);
        }
        begin += line.len();
    }
    None
}

/// What is wrong, and where.
struct Fault {
    at: Mark,
    cause: String,
}

impl Fault {
    fn new(at: Mark, cause: impl Into<String>) -> Self {
        Self { at, cause: cause.into() }
    }
}

struct Node {
    at: Mark,
    kind: Kind,
}

enum Kind {
    Scalar {
        tag: Option<String>,
        plain: bool,
        text: String,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
    /// Without an anchor of that name before it: nothing.
    Alias(Option<Rc<Node>>),
}

impl Node {
    /// `<<`, which merges the members of other maps.
    fn is_merge(&self) -> bool {
        let Kind::Scalar { tag, plain, text } = &self.kind else { return false };
        text == "<<" && (*plain || tag.as_deref() == Some("tag:yaml.org,2002:merge"))
    }

    fn is_map(&self) -> bool {
        match &self.kind {
            Kind::Map(_) => true,
            Kind::Alias(Some(node)) => node.is_map(),
            _ => false,
        }
    }
}

/// One text as nodes.
struct Source<'a> {
    text: &'a str,
    parser: Parser<&'a [u8]>,
    anchors: HashMap<String, Rc<Node>>,
    /// Brackets and braces that are open, by their places.
    open: Vec<Mark>,
    /// Where what was read last ends.
    last: Mark,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let mut parser = Parser::new();
        parser.set_input(text.as_bytes());
        parser.set_encoding(Encoding::Utf8);
        Self { text, parser, anchors: HashMap::new(), open: Vec::new(), last: Mark::default() }
    }

    /// The next document's root; nothing at the end.
    fn document(&mut self) -> Result<Option<Rc<Node>>, Fault> {
        self.anchors.clear();
        loop {
            match self.next()?.data {
                EventData::DocumentStart { .. } => break,
                EventData::StreamEnd => return Ok(None),
                _ => {}
            }
        }
        let first = self.next()?;
        let root = self.node(first, 0)?;
        self.next()?;
        Ok(Some(root))
    }

    fn next(&mut self) -> Result<Event, Fault> {
        // The port of libyaml has a panic where the original is at a loss: a tag before a comma, as in [!a, b].
        let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        let event = parsed.map_err(|_| Fault::new(self.last, MALFORMED))?.map_err(|error| self.fault(&error))?;
        self.last = event.end_mark;
        Ok(event)
    }

    fn node(&mut self, event: Event, depth: usize) -> Result<Rc<Node>, Fault> {
        let at = event.start_mark;
        if depth > DEPTH {
            return Err(Fault::new(at, DEEP));
        }
        let (name, kind) = match event.data {
            EventData::Alias { anchor } => (None, Kind::Alias(self.anchors.get(&anchor).cloned())),
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                (anchor, Kind::Scalar { tag, plain: plain_implicit, text: value })
            }
            EventData::SequenceStart { anchor, .. } => {
                let mut items = Vec::new();
                self.open.push(at);
                loop {
                    let event = self.next()?;
                    if event.data == EventData::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, depth + 1)?);
                }
                self.open.pop();
                (anchor, Kind::List(items))
            }
            EventData::MappingStart { anchor, .. } => {
                let mut members = Vec::new();
                self.open.push(at);
                loop {
                    let event = self.next()?;
                    if event.data == EventData::MappingEnd {
                        break;
                    }
                    let key = self.node(event, depth + 1)?;
                    let value = self.next()?;
                    members.push((key, self.node(value, depth + 1)?));
                }
                self.open.pop();
                (anchor, Kind::Map(members))
            }
            _ => return Err(Fault::new(at, MALFORMED)),
        };
        let node = Rc::new(Node { at, kind });
        if let Some(name) = name {
            self.anchors.insert(name, Rc::clone(&node));
        }
        Ok(node)
    }

    /// The place where a person has to look. Of a bracket or quote that is never closed it is that, not the end of the text.
    fn fault(&self, error: &Error) -> Fault {
        let mark = error.problem_mark().or(error.context_mark()).unwrap_or_default();
        if self.at(mark) == Some('\t') {
            return Fault::new(mark, TAB);
        }
        let is_end = self.text.lines().count() as u64 <= mark.line;
        let open = self.open.last().copied().filter(|open| matches!(self.at(*open), Some('[' | '{')));
        Fault::new(open.or(error.context_mark()).filter(|_| is_end).unwrap_or(mark), MALFORMED)
    }

    fn at(&self, mark: Mark) -> Option<char> {
        self.text[self.offset(mark)?..].chars().next()
    }

    fn offset(&self, mark: Mark) -> Option<usize> {
        let begin = match usize::try_from(mark.line).ok()?.checked_sub(1) {
            Some(before) => self.text.match_indices('\n').nth(before)?.0 + 1,
            None => 0,
        };
        let (column, _) = self.text[begin..].char_indices().nth(usize::try_from(mark.column).ok()?)?;
        Some(begin + column)
    }
}

/// Nodes as values.
#[derive(Default)]
struct Values {
    /// Nodes that were reached through aliases, and how many aliases lead here.
    repeated: usize,
    aliases: usize,
}

impl Values {
    fn of(&mut self, node: &Node, depth: usize) -> Result<Value, Fault> {
        if self.aliases > 0 {
            self.repeated += 1;
        }
        if depth > DEPTH || self.repeated > REPEATED {
            return Err(Fault::new(node.at, DEEP));
        }
        match &node.kind {
            Kind::Scalar { tag, plain, text } => {
                scalar::value(tag.as_deref(), *plain, text).map_err(|cause| Fault::new(node.at, cause))
            }
            Kind::List(items) => items.iter().map(|item| self.of(item, depth + 1)).collect(),
            Kind::Map(_) => {
                let mut members = Map::new();
                self.fill(node, &mut members, depth)?;
                Ok(members.into())
            }
            Kind::Alias(None) => Err(Fault::new(node.at, "an alias (*…) has no anchor; if it is text, put it in quotes")),
            Kind::Alias(Some(target)) => {
                self.aliases += 1;
                let value = self.of(target, depth + 1).map_err(|fault| Fault::new(node.at, fault.cause));
                self.aliases -= 1;
                value
            }
        }
    }

    /// Lays a map's members into another one, in their order: as in go-yaml, `<<` wins over what stands before it.
    fn fill(&mut self, node: &Node, members: &mut Map<String, Value>, depth: usize) -> Result<(), Fault> {
        let pairs = match &node.kind {
            Kind::Map(pairs) => pairs,
            Kind::Alias(Some(target)) => {
                self.aliases += 1;
                let filled = self.fill(target, members, depth + 1);
                self.aliases -= 1;
                return filled;
            }
            _ => return Err(Fault::new(node.at, "<< must have a map, or a list of maps")),
        };
        if depth > DEPTH {
            return Err(Fault::new(node.at, DEEP));
        }
        let mut own = HashSet::new();
        for (key, value) in pairs {
            if key.is_merge() {
                match &value.kind {
                    // The first entry wins.
                    Kind::List(maps) if maps.iter().all(|map| map.is_map()) => {
                        for map in maps.iter().rev() {
                            self.fill(map, members, depth + 1)?;
                        }
                    }
                    _ => self.fill(value, members, depth + 1)?,
                }
                continue;
            }
            let name = match self.of(key, depth + 1)? {
                Value::String(name) => name,
                Value::Bool(name) => name.to_string(),
                Value::Number(name) => name.to_string(),
                _ => return Err(Fault::new(key.at, "a key is empty, a list or a map; it must be a text")),
            };
            let value = self.of(value, depth + 1)?;
            if !own.insert(name.clone()) {
                return Err(Fault::new(key.at, format!("the key {name} occurs twice in one map")));
            }
            members.insert(name, value);
        }
        Ok(())
    }
}
