//! `pollinator new` on a terminal, where it asks a person for what the arguments leave out.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::rig::pollinator::binary;

/// A terminal: one end is the program's, and a person is at the other.
struct Terminal {
    person: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Runs `pollinator new` with its input and its messages on a terminal, and its output elsewhere.
    fn new(arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let person = openpt(flags).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let program = ioctl_tiocgptpeer(&person, flags).unwrap();
        let mut command = binary();
        command.arg("new").args(arguments).stdin(program.try_clone().unwrap()).stdout(Stdio::piped()).stderr(program);
        // The command has the end of the program, and keeps it open until it is dropped.
        let child = command.spawn().unwrap();
        drop(command);
        Self { person: File::from(person), child, seen: String::new() }
    }

    /// Reads up to these words. When the program has ended, there is nothing more to read.
    fn wait(&mut self, words: &str) {
        let mut some = [0; 1024];
        while !self.seen.contains(words) {
            let read = self.person.read(&mut some).unwrap_or_else(|error| panic!("{error}: no {words:?} in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&some[..read]));
        }
    }

    /// Waits for a question, and types an answer.
    fn answer(&mut self, question: &str, answer: &str) {
        self.wait(question);
        self.person.write_all(answer.as_bytes()).unwrap();
    }

    /// What it wrote, once it has ended.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut written = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut written).unwrap();
        (self.child.wait().unwrap().code(), written)
    }
}

#[test]
fn a_person_at_a_terminal_is_asked_for_what_is_missing() {
    let mut terminal = Terminal::new(&["asana", "--namespace", "crm"]);
    terminal.answer("Parameter project:", "4711\n");
    terminal.answer("Parameter workspace:", "\n");
    terminal.answer("Callback: enter the URL", "https://hooks.example.org/in\n");
    let (code, written) = terminal.ended();
    assert_eq!(code, Some(0), "{written}");
    for line in ["project: \"4711\"", "workspace: replace-me", "url: \"https://hooks.example.org/in\"", "namespace: crm"] {
        assert!(written.contains(line), "no {line}: {written}");
    }
    assert!(!written.contains("Parameter project:"), "questions are not part of the manifest: {written}");

    // Ctrl+D ends the questions
    let mut terminal = Terminal::new(&["asana"]);
    terminal.answer("Parameter project:", "\u{4}");
    let (code, written) = terminal.ended();
    assert!(code == Some(0) && written.contains("project: replace-me"), "{code:?} {written}");

    // what is given is not asked for
    let given = ["asana", "--set", "project=1", "--set", "workspace=2", "--callback", "https://hooks.example.org/in"];
    let (code, written) = Terminal::new(&given).ended();
    assert!(code == Some(0) && written.contains("workspace: \"2\""), "{code:?} {written}");
}
