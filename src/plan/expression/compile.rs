//! From the text of an expression to what is evaluated: names become places, functions are checked, patterns are compiled.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::Parser;

use super::functions::Function;
use crate::plan::error_rules::regex;

/// Longest text, in bytes; the schema has the same bound.
const MAX_TEXT: usize = 1024;
/// Brackets, signs and conditions inside each other that are read: the parser needs stack for each.
const MAX_NESTING: usize = 24;
/// Stack of the thread that reads a text: several times what the longest one takes. It is touched only as far as it is used.
const STACK: usize = 64 << 20;
/// Depth of what is evaluated, which needs stack, too.
const MAX_DEPTH: usize = 100;
/// The one variable.
const RECORD: &str = "record";

/// What is wrong with an expression; reads on from the name of its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is empty.
    #[error("is empty; write an expression such as record.status != 'draft', or leave it out")]
    Empty,
    /// It is too long.
    #[error("is longer than {MAX_TEXT} bytes; shorten it")]
    TooLong,
    /// It is nested too deeply.
    #[error("is nested too deeply; split it with && and ||")]
    TooDeep,
    /// It is not CEL.
    #[error("is not a CEL expression: line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's words, on one line.
        message: String,
    },
    /// The parser cannot cope with it.
    #[error("cannot be read by the CEL parser; write it differently")]
    Unreadable,
    /// The system gave no thread to read it on.
    #[error("could not be read because the system allows no further thread; raise the thread limit")]
    NoThread,
    /// It names something that does not exist.
    #[error("has an unknown variable {name} at column {column}; the only variable is record, as in record.{name}")]
    UnknownVariable {
        /// As it was written.
        name: String,
        /// From 1.
        column: usize,
    },
    /// It calls something that does not exist.
    #[error("calls an unknown function {name} at column {column}; there are {}", Function::NAMES)]
    UnknownFunction {
        /// As it was written.
        name: String,
        /// From 1.
        column: usize,
    },
    /// A function is called with too few or too many arguments.
    #[error("calls {name} with {given} arguments at column {column}, which takes {takes}")]
    Arguments {
        /// Of the function.
        name: String,
        /// From 1.
        column: usize,
        /// Number of arguments, that in front of the dot included.
        given: usize,
        /// Number of those it takes.
        takes: usize,
    },
    /// The pattern of `matches` is not one.
    #[error("calls matches at column {column} with a pattern that is not a regular expression (RE2) in quotes")]
    Pattern {
        /// From 1.
        column: usize,
    },
    /// CEL has it, and we have not.
    #[error("uses {what}, which is not supported")]
    Unsupported {
        /// In words.
        what: &'static str,
    },
}

/// A constant.
#[derive(Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
}

/// Operators with two sides that are both evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    In,
    Index,
}

/// What is evaluated.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Literal),
    /// The variable at this place: 0 is the record.
    Variable(usize),
    Member(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    NotFalse(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(Function, Vec<Node>),
    Fold(Box<Fold>),
}

/// A macro over the elements of a list or the keys of a map. Its result so far is the variable after those outside, the element the next.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) range: Node,
    pub(super) begin: Node,
    pub(super) goes_on: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

/// Compiles a text.
pub(super) fn compile(text: &str) -> Result<Node, CompileError> {
    if text.trim().is_empty() {
        return Err(CompileError::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(CompileError::TooLong);
    }
    if nesting(text) > MAX_NESTING {
        return Err(CompileError::TooDeep);
    }
    // The parser takes kilobytes of stack for each link of a chain, and it panics in places that it holds to be out of reach.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("expression".to_owned()).stack_size(STACK);
        let read = || {
            let tree = Parser::new().parse(text).map_err(|errors| syntax(&errors))?;
            Compiler { text, variables: vec![RECORD.to_owned()] }.node(&tree, 0)
        };
        thread.spawn_scoped(scope, read).map_err(|_| CompileError::NoThread)?.join().map_err(|_| CompileError::Unreadable)?
    })
}

fn syntax(errors: &cel::ParseErrors) -> CompileError {
    let first = errors.errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    let message = first.map_or("", |error| error.msg.as_str());
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).split_whitespace().collect::<Vec<_>>().join(" ");
    let at = |number: isize| usize::try_from(number).unwrap_or_default().max(1);
    CompileError::Syntax { line: at(line), column: at(column), message }
}

/// An upper bound for how deeply the parser must go: open brackets, signs in a row and conditions, texts in quotes left out.
fn nesting(text: &str) -> usize {
    let (mut open, mut signs, mut conditions, mut most) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut quote = None;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => {
                bytes.next();
            }
            (Some(end), _) => quote = (byte != end).then_some(end),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                signs = 0;
            }
            (None, b'(' | b'[' | b'{') => open += 1,
            (None, b')' | b']' | b'}') => open = open.saturating_sub(1),
            (None, b'!' | b'-') => signs += 1,
            (None, b'?') => conditions += 1,
            (None, byte) if byte.is_ascii_whitespace() => {}
            (None, _) => signs = 0,
        }
        most = most.max(open + signs + conditions);
    }
    most
}

struct Compiler<'t> {
    text: &'t str,
    /// Names of the variables by their places.
    variables: Vec<String>,
}

impl Compiler<'_> {
    fn node(&mut self, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        if depth > MAX_DEPTH {
            return Err(CompileError::TooDeep);
        }
        let depth = depth + 1;
        Ok(match &tree.expr {
            Expr::Literal(literal) => Node::Literal(constant(literal)?),
            Expr::Ident(name) => match self.variables.iter().rposition(|variable| variable == name) {
                Some(place) => Node::Variable(place),
                None => return Err(CompileError::UnknownVariable { name: name.clone(), column: self.column(name) }),
            },
            Expr::Select(select) => {
                let operand = Box::new(self.node(&select.operand, depth)?);
                let member = select.field.trim_matches('`').into();
                if select.test { Node::Has(operand, member) } else { Node::Member(operand, member) }
            }
            Expr::Call(call) => self.call(call, depth)?,
            Expr::List(list) => Node::List(self.nodes(&list.elements, depth)?),
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(CompileError::Unsupported { what: "a message type" });
                    };
                    entries.push((self.node(&entry.key, depth)?, self.node(&entry.value, depth)?));
                }
                Node::Map(entries)
            }
            Expr::Comprehension(fold) => self.fold(fold, depth)?,
            Expr::Struct(_) => return Err(CompileError::Unsupported { what: "a message type" }),
            Expr::Unspecified => return Err(CompileError::Empty),
        })
    }

    fn nodes(&mut self, trees: &[IdedExpr], depth: usize) -> Result<Vec<Node>, CompileError> {
        trees.iter().map(|tree| self.node(tree, depth)).collect()
    }

    fn fold(&mut self, fold: &ComprehensionExpr, depth: usize) -> Result<Node, CompileError> {
        if fold.iter_var2.is_some() {
            return Err(CompileError::Unsupported { what: "a macro with two variables" });
        }
        let range = self.node(&fold.iter_range, depth)?;
        let begin = self.node(&fold.accu_init, depth)?;
        self.variables.push(fold.accu_var.clone());
        self.variables.push(fold.iter_var.clone());
        let goes_on = self.node(&fold.loop_cond, depth)?;
        let step = self.node(&fold.loop_step, depth)?;
        self.variables.pop();
        let result = self.node(&fold.result, depth)?;
        self.variables.pop();
        Ok(Node::Fold(Box::new(Fold { range, begin, goes_on, step, result })))
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<Node, CompileError> {
        let name = call.func_name.as_str();
        let given = call.target.as_deref().into_iter().chain(&call.args).collect::<Vec<_>>();
        if let (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) = (name, &*given) {
            let (left, right) = (Box::new(self.node(left, depth)?), Box::new(self.node(right, depth)?));
            return Ok(if name == operators::LOGICAL_AND { Node::And(left, right) } else { Node::Or(left, right) });
        }
        let mut nodes = Vec::with_capacity(given.len());
        for tree in &given {
            nodes.push(self.node(tree, depth)?);
        }
        let mut nodes = match (name, <[Node; 1]>::try_from(nodes)) {
            (operators::LOGICAL_NOT, Ok([one])) => return Ok(Node::Not(Box::new(one))),
            (operators::NEGATE, Ok([one])) => return Ok(Node::Negate(Box::new(one))),
            (operators::NOT_STRICTLY_FALSE, Ok([one])) => return Ok(Node::NotFalse(Box::new(one))),
            (_, Ok(one)) => Vec::from(one),
            (_, Err(nodes)) => nodes,
        };
        if let Some(operator) = operator(name) {
            return match <[Node; 2]>::try_from(nodes) {
                Ok([left, right]) => Ok(Node::Binary(operator, Box::new(left), Box::new(right))),
                Err(_) => Err(CompileError::Unsupported { what: "an operator with other than two sides" }),
            };
        }
        if name == operators::CONDITIONAL {
            return match <[Node; 3]>::try_from(nodes) {
                Ok(three) => Ok(Node::If(Box::new(three))),
                Err(_) => Err(CompileError::Unsupported { what: "a condition with other than three parts" }),
            };
        }
        let column = self.column(name);
        if name == "matches" {
            let pattern = match (nodes.pop(), nodes.len()) {
                (Some(Node::Literal(Literal::Text(pattern))), 1) => regex(&pattern),
                _ => None,
            };
            let pattern = pattern.ok_or(CompileError::Pattern { column })?;
            return Ok(Node::Call(Function::Matches(Box::new(pattern)), nodes));
        }
        let Some(function) = Function::named(name) else {
            return Err(CompileError::UnknownFunction { name: name.to_owned(), column });
        };
        if nodes.len() != function.takes() {
            let (given, takes) = (nodes.len(), function.takes());
            return Err(CompileError::Arguments { name: name.to_owned(), column, given, takes });
        }
        Ok(Node::Call(function, nodes))
    }

    /// Where a name first occurs as a word. The parser keeps no positions of what it has read.
    fn column(&self, name: &str) -> usize {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let found = self.text.match_indices(name).find(|(at, _)| {
            let before = self.text[..*at].chars().next_back();
            let after = self.text[at + name.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        });
        self.text[..found.map_or(0, |(at, _)| at)].chars().count() + 1
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::Unequal,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessOrEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterOrEqual,
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        operators::IN => Operator::In,
        operators::INDEX => Operator::Index,
        _ => return None,
    })
}

fn constant(literal: &LiteralValue) -> Result<Literal, CompileError> {
    Ok(match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(value) => Literal::Bool(*value.inner()),
        LiteralValue::Int(value) => Literal::Int(*value.inner()),
        LiteralValue::UInt(value) => Literal::Uint(*value.inner()),
        LiteralValue::Double(value) => Literal::Double(*value.inner()),
        LiteralValue::String(value) => Literal::Text(value.inner().into()),
        LiteralValue::Bytes(_) => return Err(CompileError::Unsupported { what: "a constant of bytes" }),
    })
}
