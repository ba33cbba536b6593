//! Requests as they are on the wire, from a loopback address of choice.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::PATIENCE;

/// A connection from 127.0.0.`from`: each is another peer.
pub fn connect(to: SocketAddr, from: u8) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into())?;
        socket.connect(to).await?.into_std()
    };
    let stream = runtime.block_on(connecting).expect("a connection");
    stream.set_nonblocking(false).expect("a blocking socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends a request and reads to the end. An end by a reset is an end.
pub fn exchange(to: SocketAddr, from: u8, request: &str) -> String {
    let mut stream = connect(to, from);
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}
