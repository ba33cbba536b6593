//! `kubectl pollinator console` in front of a real console: the URL that it prints is that of a console that takes requests at it.
//!
//! The process kubelet of the rig forwards no ports, so a relay of bytes is in its place, and a stand-in for kubectl begins it. All else is
//! real: the API server, the pod that names the ports, the operator with its console, and the session of a person.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use super::led::{command, make_ready, pod, stand_in};
use crate::console::cookie;
use crate::rig::client::exchange;
use crate::rig::control_plane::shared;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;

/// Passes all bytes of each connection to a port of this machine on, both ways, as a tunnel does.
fn relay(listener: TcpListener, to: SocketAddr) {
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect(to).expect("the console listens");
            for (mut from, mut into) in [(near.try_clone().expect("a socket"), far.try_clone().expect("a socket")), (far, near)]
            {
                thread::spawn(move || {
                    // Whichever side ends the connection ends it.
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

fn address(operator: &Pollinator) -> SocketAddr {
    let line = operator.wait_stderr("serving the console");
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    address.and_then(|address| address.parse().ok()).expect("an address")
}

#[test]
fn the_url_that_is_printed_leads_through_the_tunnel_to_the_pages() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "led-through");
    let ns = &cluster.ns;
    let tunnel = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = format!("http://{}", tunnel.local_addr().expect("an address"));
    cluster.apply(&cluster.instance());
    let operator = cluster.start_with(&["--console-listen", "127.0.0.1:0", "--console-url", &own]);
    let console = address(&operator);
    // pods need their account
    ns.token("default");
    pod(ns, "on", &["operator", &format!("--console-listen={console}"), &format!("--console-url={own}")]);
    make_ready(ns, "on");
    relay(tunnel, console);
    stand_in(cluster.folder(), "echo Forwarding from it\nexec /bin/sleep 1000");
    let mut led = cluster.spawn_command(command(ns.kubeconfig(), cluster.folder()));
    let line = led.wait_stdout("open the console: ");
    let url = line.split("open the console: ").nth(1).expect("a URL").trim().to_owned();
    assert_eq!(url, own);
    let arguments = std::fs::read_to_string(Path::new(cluster.folder()).join("arguments")).expect("its arguments");
    let ports = format!("pod/on {}:{} ", own.rsplit(':').next().unwrap_or_default(), console.port());
    assert!(arguments.ends_with(&ports), "{arguments}");

    // a person signs in at that URL and sees what there is; at any other one the console answers nothing
    let token = plane.identity().admin_token.clone();
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", &token).finish();
    let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", own.as_str())];
    let signed_in = exchange("POST", &format!("{url}/sign-in"), &form, Some(body)).expect("an answer");
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    let session = cookie(&signed_in).split(';').next().expect("a cookie").to_owned();
    let page = exchange("GET", &format!("{url}/instances/{}/it", ns.name()), &[("Cookie", &session)], None).expect("a page");
    assert!(page.status == 200 && page.body.contains("baseUrl"), "{}", page.body);
    let elsewhere = exchange("GET", &format!("http://{console}/"), &[("Cookie", &session)], None).expect("an answer");
    assert_eq!(elsewhere.status, 421, "{}", elsewhere.body);
    assert!(led.sigterm().success(), "{}", led.stderr());
}
