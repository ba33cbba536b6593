//! A list of any length and a receiver, in threads of this process, whose time is not counted.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::{rig, server};

/// Records of a page.
pub const PAGE: usize = 1_000;
/// How many records are another after [`edit`], and how many are missing, spread over the list.
pub const CHANGED: usize = 100;
/// See [`CHANGED`].
pub const DELETED: usize = 50;

static IS_EDITED: AtomicBool = AtomicBool::new(false);
static IS_ONE_CHANGED: AtomicBool = AtomicBool::new(false);
static LISTS: AtomicU64 = AtomicU64::new(0);
static POSTS: AtomicU64 = AtomicU64::new(0);

/// Listens on a free port of loopback until this process ends, and answers its address.
pub fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let work = move || drop(server::answer_all(&connection, answer));
            thread::Builder::new().stack_size(128 * 1024).spawn(work).expect("a thread starts");
        }
    });
    address
}

/// The path of a list of so many records.
pub fn path(records: usize) -> String {
    format!("/records?of={records}&page=0")
}

/// Whether some of the records are edited, and some missing.
pub fn edit(is_edited: bool) {
    IS_EDITED.store(is_edited, Ordering::SeqCst);
}

/// Whether one record of each list is another.
pub fn change_one(is_changed: bool) {
    IS_ONE_CHANGED.store(is_changed, Ordering::SeqCst);
}

/// Pages that were asked for so far.
pub fn lists() -> u64 {
    LISTS.load(Ordering::SeqCst)
}

/// Requests with events so far.
pub fn posts() -> u64 {
    POSTS.load(Ordering::SeqCst)
}

fn answer(path: &str, _conditional: bool) -> String {
    if path.starts_with("/events") {
        POSTS.fetch_add(1, Ordering::SeqCst);
        return "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    }
    LISTS.fetch_add(1, Ordering::SeqCst);
    let number = |name: &str| {
        let (_, rest) = path.split_once(name)?;
        rest.split('&').next()?.parse().ok()
    };
    let list = page(number("of=").unwrap_or(0), number("page=").unwrap_or(0));
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{list}", list.len())
}

fn page(records: usize, number: usize) -> String {
    let is_edited = IS_EDITED.load(Ordering::SeqCst);
    let mut page = String::with_capacity(PAGE.min(records) * 610 + 64);
    page.push_str(r#"{"appointments":["#);
    let mut is_first = true;
    for index in number * PAGE..records.min((number + 1) * PAGE) {
        let is_nth_of = |count: usize, offset: usize| is_edited && index % (records / count) == offset;
        if is_nth_of(DELETED, 7) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            page.push(',');
        }
        let start = page.len();
        rig::record(&mut page, index);
        if is_nth_of(CHANGED, 3) || (index == 7 && IS_ONE_CHANGED.load(Ordering::SeqCst)) {
            let title = start + page[start..].find("Consultation").expect("it has a title");
            page.replace_range(title..title + "Consultation".len(), "Conversation");
        }
    }
    let next = number + 1;
    let link = if next * PAGE < records { format!("\"/records?of={records}&page={next}\"") } else { "null".to_owned() };
    page + r#"],"next":"# + &link + "}"
}
