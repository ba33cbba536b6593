//! Denied addresses are not even connected to.

use super::*;

#[tokio::test]
async fn the_trap_works() {
    let trap = Trap::set();
    assert!(!trap.was_touched());
    let _stream = TcpStream::connect(("127.0.0.1", trap.port())).await.expect("connect");
    assert!(trap.was_touched());
}

#[tokio::test]
async fn denied_addresses_are_never_connected_to() {
    let trap = Trap::set();
    let egress = Egress::new(EgressPolicy::default()).expect("client");
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost", "LOCALHOST"] {
        let url = Url::parse(&format!("http://{host}:{}/", trap.port())).expect(host);
        let error = egress.send(get(&url)).await.expect_err(host);
        assert!(matches!(error, EgressError::Denied(_)), "{host}: {error:?}");
        assert!(!trap.was_touched(), "{host} was connected to");
    }
}

#[tokio::test]
async fn an_allowed_host_is_asked_and_no_other() {
    let url = bytes_server(answer("", b"ok")).await;
    let port = url.port().expect("port");
    let egress =
        Egress::new(EgressPolicy { allow: vec![AllowRule::parse("localhost").expect("rule")], ..EgressPolicy::default() })
            .expect("client");
    let named = Url::parse(&format!("http://localhost:{port}/")).expect("url");
    assert_eq!(egress.send(get(&named)).await.expect("answer").body, "ok");
    assert!(matches!(egress.send(get(&url)).await, Err(EgressError::Denied(_))));
}

#[tokio::test]
async fn a_port_that_is_not_named_is_never_connected_to() {
    let (url, trap) = (bytes_server(answer("", b"ok")).await, Trap::set());
    let ports = vec![url.port().expect("port")];
    let egress = Egress::new(EgressPolicy { allow_loopback: true, ports, ..EgressPolicy::default() }).expect("client");
    assert_eq!(egress.send(get(&url)).await.expect("answer").body, "ok");
    for host in ["127.0.0.1", "localhost"] {
        let other = Url::parse(&format!("http://{host}:{}/", trap.port())).expect("url");
        assert_eq!(egress.send(get(&other)).await.err(), Some(EgressError::DeniedPort(trap.port())));
    }
    assert!(!trap.was_touched());
}
