//! Log lines tell whose they are.

use serde_json::Value;

use crate::rig::http::Answer;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// An instance called `orders` of a namespace.
fn orders(namespace: &str, provider: &Provider, receiver: &Receiver) -> String {
    let yaml = Instance::new("orders", &provider.url(), &receiver.url(namespace)).yaml();
    assert_eq!(yaml.matches("namespace: it").count(), 1, "{yaml}");
    yaml.replace("namespace: it", &format!("namespace: {namespace}"))
}

/// The lines with this message, and whose they are.
fn told<'a>(lines: &'a [Value], message: &str) -> Vec<(&'a str, &'a str, &'a str)> {
    let of = |line: &'a Value, field: &str| line["span"][field].as_str().unwrap_or_default();
    let with_message = lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message)));
    with_message.map(|line| (of(line, "namespace"), of(line, "instance"), of(line, "resource"))).collect()
}

#[test]
fn instances_of_one_name_in_two_namespaces_are_told_apart() {
    let open = || Provider::start().taking(|_| true);
    let (north, south, receiver) = (open(), open(), Receiver::start());
    south.misbehave(|_| Some(Answer::status(500)));
    receiver.answer(|_| Answer::status(503));
    let site = Site::new(&[orders("north", &north, &receiver), orders("south", &south, &receiver)]);
    let mut command = site.command();
    command.args(["--log-format", "json", "--log", "pollinator=debug"]);
    let mut pollinator = site.spawn(command);
    // clock, baseline, and the poll after them
    north.wait_polled(3);
    pollinator.wait_stderr("answered 500");
    north.create("1");
    pollinator.wait_stderr("the callback did not accept");
    receiver.answer(|_| Answer::status(204));
    pollinator.wait_stderr("changes delivered");
    assert!(pollinator.sigterm().success());

    let log = pollinator.stderr();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let (of_north, of_south) = (("north", "orders", "records"), ("south", "orders", "records"));
    for (message, whose) in
        [("answered 500", of_south), ("changes delivered", of_north), ("the callback did not accept", of_north)]
    {
        let told = told(&lines, message);
        assert!(!told.is_empty() && told.iter().all(|one| *one == whose), "{message}: {told:?}\n{log}");
    }
    let mut ended = told(&lines, "job ended");
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended, [of_north, of_south], "{log}");
    for line in log.lines().filter(|line| line.contains("orders")) {
        assert!(line.contains("north") || line.contains("south"), "whose is it? {line}");
    }
}
