//! Reads pages of the documentation as a reader does: fenced blocks in their order, and code in the text.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Such as `sh`, `yaml`; empty without one.
    pub language: String,
    pub text: String,
    /// Of its first line in the page, from 1.
    pub line: usize,
    /// The last heading before it, without its marks.
    pub section: String,
}

impl Fence {
    /// What a reader types: whole commands, continued lines joined, comments and prompts gone. A block of text holds commands where
    /// it shows a prompt.
    pub fn commands(&self) -> Vec<String> {
        match self.language.as_str() {
            "sh" => commands(&self.text),
            "text" => {
                let typed: Vec<_> = self.text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
                commands(&typed.join("\n"))
            }
            _ => Vec::new(),
        }
    }

    /// What the first command of a block of text shows.
    pub fn shown(&self) -> String {
        self.text.split_inclusive('\n').filter(|line| !line.starts_with("$ ")).collect()
    }
}

/// All fenced blocks of a page, those in lists too.
pub fn fences(page: &str) -> Vec<Fence> {
    let (mut found, mut open, mut section): (Vec<Fence>, Option<(usize, Fence)>, String) = (Vec::new(), None, String::new());
    for (index, line) in page.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(language) = text.strip_prefix("```") {
            if let Some((_, fence)) = open.take() {
                found.push(fence);
            } else {
                let (language, section) = (language.trim().to_owned(), section.clone());
                open = Some((indent, Fence { language, text: String::new(), line: index + 2, section }));
            }
        } else if let Some((outer, fence)) = &mut open {
            fence.text.push_str(line.get(indent.min(*outer)..).unwrap_or_default());
            fence.text.push('\n');
        } else if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut section);
        }
    }
    assert!(open.is_none(), "a block that never ends: {open:?}");
    found
}

/// Code between backticks outside of fenced blocks, with its line.
pub fn spans(page: &str) -> Vec<(usize, String)> {
    let span = Regex::new("`([^`\n]+)`").expect("a pattern");
    let mut fenced = false;
    let mut found = Vec::new();
    for (index, line) in page.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let spans = span.captures_iter(line).filter(|_| !fenced);
        found.extend(spans.map(|captures| (index + 1, captures[1].to_owned())));
    }
    found
}

/// Commands of a shell text: one a line, unless the line goes on.
fn commands(text: &str) -> Vec<String> {
    let comment = Regex::new(r"(^|\s+)#\s.*$").expect("a pattern");
    let (mut found, mut begun) = (Vec::new(), String::new());
    for line in text.lines() {
        let line = comment.replace(line, "");
        let line = line.trim();
        if let Some(part) = line.strip_suffix('\\') {
            begun.push_str(part.trim_end());
            begun.push(' ');
            continue;
        }
        begun.push_str(line);
        // a quotation over several lines
        if begun.matches('\'').count() % 2 == 1 {
            begun.push('\n');
        } else if !begun.is_empty() {
            found.push(std::mem::take(&mut begun));
        }
    }
    found
}

/// Every page with its path in the repository: those in the root, in the chart, and in `docs/` with its subfolders.
pub fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder of the repository");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut paths = [entries(root), entries(&root.join("charts/pollinator"))].concat();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let (inner, files): (Vec<_>, Vec<_>) = entries(&folder).into_iter().partition(|path| path.is_dir());
        folders.extend(inner);
        paths.extend(files);
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    let name = |path: &Path| path.strip_prefix(root).expect("below it").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("text"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Title
```sh
one --a \\
  --b   # why
# a remark
two '#3
 four'
```
Text with `code`, `more`.
## Part
```text
$ three
shown `not code`
```
1. In a list

   ```yaml
   a:
     b: c
   ```
";

    #[test]
    fn blocks_are_read_with_their_commands() {
        let fences = fences(PAGE);
        assert_eq!(fences[0].commands(), ["one --a --b", "two '#3\nfour'"]);
        assert_eq!((fences[0].line, fences[0].section.as_str()), (3, "Title"));
        assert_eq!((fences[1].commands(), fences[1].section.as_str()), (vec!["three".to_owned()], "Part"));
        assert_eq!(fences[1].shown(), "shown `not code`\n");
        assert_eq!((fences[2].language.as_str(), fences[2].text.as_str()), ("yaml", "a:\n  b: c\n"));
    }

    #[test]
    fn code_in_the_text_is_read_with_its_line() {
        assert_eq!(spans(PAGE), [(9, "code".to_owned()), (9, "more".to_owned())]);
    }
}
