//! Passers-by at the address of metrics and probes: who holds connections takes neither memory nor the probe's place.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::rig::PATIENCE;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::Provider;
use crate::rig::raw;
use crate::rig::receiver::Receiver;

/// Connections of the attack; version 0.1.0 kept them all, with 0.5 MiB each.
const HELD: usize = 400;
/// Those of them that the server keeps of one peer.
const OF_ONE_PEER: usize = 32;
/// Almost as long as a head may be.
const UNFINISHED: usize = 15_000;

fn health(pollinator: &Pollinator) -> SocketAddr {
    let line = pollinator.wait_stderr("serving /metrics");
    line.rsplit_once("address=").expect("the address is told").1.trim().parse().expect("an address")
}

fn assert_alive(at: SocketAddr, from: u8) {
    let answer = raw::exchange(at, from, "GET /livez HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "from 127.0.0.{from}: {answer}");
}

/// Sends a head that does not end. A connection that is closed already need not take it.
fn begin(at: SocketAddr, from: u8) -> TcpStream {
    let mut stream = raw::connect(at, from);
    let _ = stream.write_all(format!("GET /livez HTTP/1.1\r\nhost: pod\r\nlong: {}", "x".repeat(UNFINISHED)).as_bytes());
    stream
}

fn is_closed(mut stream: &TcpStream) -> bool {
    // An end or a reset; what ran out of time is neither.
    match stream.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}

#[test]
fn four_hundred_unfinished_heads_cost_little_memory_and_the_probe_is_answered() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    provider.create("first");
    let site = Site::new(&[Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().yaml()]);
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0"]);
    let pollinator = site.spawn(command);
    let at = health(&pollinator);
    pollinator.wait_ready("it");
    assert_alive(at, 1);
    let before = pollinator.memory("VmRSS");

    // one peer: its oldest connections give way to newer ones, also to its own probe
    let crowd: Vec<_> = (0..HELD).map(|_| begin(at, 1)).collect();
    assert_alive(at, 1);
    assert_alive(at, 2);
    for stream in &crowd[..HELD - OF_ONE_PEER] {
        assert!(is_closed(stream), "the oldest are let go");
    }
    // twenty peers, more than there are places
    drop(crowd);
    let many: Vec<_> = (0..600_u32).map(|number| begin(at, 2 + u8::try_from(number % 20).expect("below 20"))).collect();
    assert_alive(at, 100);
    let after = pollinator.memory("VmRSS");
    if let (Some(before), Some(after)) = (before, after) {
        println!("{before} KiB before, {after} KiB after");
        assert!(after < before + 48 * 1024, "{before} KiB before, {after} KiB after");
    }
    drop(many);
    provider.create("second");
    receiver.try_wait_count("it", PATIENCE, 1).expect("polling went on");
}
