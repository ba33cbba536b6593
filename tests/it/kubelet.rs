//! The process kubelet ([`crate::rig::kubelet`]) against the real control plane: what it does, it does as a kubelet does.
//!
//! - [`given`]: what a container is given: variables, files, its identity.
//! - [`probed`]: probes, restarts, and what the status tells of them.
//! - [`ended`]: how pods end, by themselves and when told to.
//! - [`stuck`]: a scheduler that stands still is noticed.
//! - [`operator`]: the operator with three replicas as a Deployment.

mod ended;
mod given;
mod operator;
mod probed;
mod stuck;

use serde_json::Value;

use crate::rig::control_plane::{ControlPlane, Namespace, shared_with_controllers};
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;

/// A namespace whose pods run. The image `shell` is this machine's shell.
struct Scene {
    kubelet: Kubelet,
    ns: Namespace<'static>,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        Self::with(shared_with_controllers()?, test, &[Image::shell("shell")])
    }

    /// With these images.
    fn with(plane: &'static ControlPlane, test: &str, images: &[Image]) -> Option<Self> {
        let ns = plane.namespace(test);
        let kubelet = Kubelet::start(plane, ns.name(), images)?;
        // pods are refused before it is there
        ns.api().wait_for(&ns.core("serviceaccounts/default"), "the default account", |found| found.is_object().then_some(()));
        Some(Self { kubelet, ns })
    }

    /// Makes a pod called `it` of one container called `main`, from further members of the pod's spec and of the container, in
    /// flow style.
    fn pod(&self, text: &str, spec: &str, container: &str) {
        let comma = |members: &str| if members.is_empty() { String::new() } else { format!(", {members}") };
        let text = serde_json::to_string(text).unwrap();
        self.ns.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: it, labels: {{app: it}}}}, spec: {{containers: [{{name: main, \
             image: shell, args: [-c, {text}]{}}}]{}}}}}",
            comma(container),
            comma(spec)
        ));
    }

    /// Waits until the pod `it` satisfies `look`.
    fn wait<R>(&self, what: &str, mut look: impl FnMut(&Value) -> Option<R>) -> R {
        let seen = self.ns.api().try_wait(&self.ns.core("pods/it"), crate::rig::PATIENCE, &mut look);
        seen.unwrap_or_else(|last| panic!("not seen in time: {what}\n{last:#}\n{}", self.kubelet.report()))
    }

    /// Waits until the pod's main container has a value in its status.
    fn wait_main(&self, pointer: &str, value: &Value) -> Value {
        self.wait(&format!("{pointer} = {value}"), |pod| {
            let main = &pod["status"]["containerStatuses"][0];
            (main.pointer(pointer) == Some(value)).then(|| main.clone())
        })
    }

    fn wait_phase(&self, phase: &str) -> Value {
        self.wait(phase, |pod| (pod["status"]["phase"] == phase).then(|| pod.clone()))
    }

    /// Output of a command in the pod.
    fn shell(&self, text: &str) -> String {
        self.kubelet.exec("it", &["sh", "-c", text]).ok()
    }
}

/// Runs until it is told to end.
const OBEY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// As the first process of a container it does not hear SIGTERM.
const DEAF: &str = "while :; do sleep 0.1; done";
