//! Attackers in a namespace beside honest instances of another, in `local`; `operator::attacked` does the same on a cluster.

use crate::rig::fleet;
use crate::rig::http::{Answer, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::Site;
use crate::rig::receiver::Receiver;
use crate::rig::siege::Siege;
use crate::rig::strain::Strain;

#[test]
fn attackers_of_another_namespace_take_no_poll_and_no_probe_from_honest_instances() {
    let _alone = fleet::alone();
    let (siege, receiver) = (Siege::prepare(), Receiver::start());
    let honest = siege.honest(&receiver);
    let site = Site::new(&honest.iter().map(Instance::yaml).collect::<Vec<_>>());
    let pollinator = site.start();
    for instance in &honest {
        pollinator.wait_ready(&instance.name);
    }
    let beside = Server::start(|_| Answer::status(204));
    let strain = Strain::measure_by(beside.url());
    let mut all = Vec::new();
    siege.run(&pollinator, &receiver, &strain, |attackers| {
        all.extend(attackers.iter().map(|instance| instance.yaml().replace("namespace: it", "namespace: hostile")));
        manifest::write(&site.manifests(), "attackers.yaml", &all);
    });
}
