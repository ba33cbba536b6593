//! Provider and receiver in a process of their own: HTTP/1.1 with kept connections, one thread each, nothing else.

use std::env;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::SystemTime;

use crate::rig;

/// Makes this program a server.
pub const ARGUMENT: &str = "server";

/// A list without records.
pub const EMPTY: &str = "/empty";
/// A list with one record that never changes.
pub const ONE: &str = "/one";
/// A list without records that answers 304 where it can.
pub const UNCHANGED: &str = "/unchanged";
/// A list with a page of records, all new.
pub const FULL: &str = "/full";
/// Accepts every POST.
pub const EVENTS: &str = "/events";
/// Records of the full list.
pub const RECORDS: usize = 1_000;

static POSTS: AtomicU64 = AtomicU64::new(0);
static PAGE: LazyLock<String> = LazyLock::new(|| rig::page(RECORDS));

/// A running server; ends with this value.
pub struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u64,
}

impl Server {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        let mut child = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let port = read_number(&mut said);
        Self { child, said, port }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it and tells how many requests were POSTs.
    pub fn count_posts(mut self) -> u64 {
        drop(self.child.stdin.take());
        read_number(&mut self.said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn read_number(said: &mut impl BufRead) -> u64 {
    let mut line = String::new();
    said.read_line(&mut line).expect("the server speaks");
    line.trim().parse().expect("it says a number")
}

/// Serves until standard input ends.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    println!("{}", listener.local_addr().expect("it is bound").port());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let work = move || drop(answer_all(&connection, answer));
            thread::Builder::new().stack_size(128 * 1024).spawn(work).expect("a thread starts");
        }
    });
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    println!("{}", POSTS.load(Ordering::Relaxed));
}

/// Answers every request of a connection by its path, and by whether it is conditional.
pub fn answer_all(connection: &TcpStream, answer: impl Fn(&str, bool) -> String) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut input = BufReader::new(connection);
    let mut output = connection;
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut conditional) = (0, false);
        loop {
            line.clear();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name {
                "content-length" => length = value.parse().unwrap_or(0),
                "if-none-match" => conditional = true,
                _ => {}
            }
        }
        body.resize(length, 0);
        input.read_exact(&mut body)?;
        output.write_all(answer(&path, conditional).as_bytes())?;
    }
}

fn answer(path: &str, conditional: bool) -> String {
    let list = match path.split('?').next().unwrap_or_default() {
        EVENTS => {
            POSTS.fetch_add(1, Ordering::Relaxed);
            return "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
        }
        UNCHANGED if conditional => return "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n".to_owned(),
        EMPTY | UNCHANGED => rig::page(0),
        ONE => rig::page(1),
        FULL => PAGE.clone(),
        _ => return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    let mut answer = String::with_capacity(list.len() + 256);
    let _ = write!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {}\r\n{}content-length: {}\r\n\r\n{list}",
        httpdate::fmt_http_date(SystemTime::now()),
        if path.starts_with(UNCHANGED) { "etag: \"1\"\r\n" } else { "" },
        list.len(),
    );
    answer
}
