//! From the spec of a container to what is to be started.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::container::rights;
use super::environment::{Place, command_line, variables};
use super::image::Image;
use super::sandbox::{Launch, Mount, entry_point};
use super::sources::Sources;

/// What a container's start depends on beside its own spec.
pub struct OfPod<'a> {
    pub pod: &'a Pod,
    pub spec: &'a PodSpec,
    pub place: &'a Place,
    pub sources: &'a Sources,
    /// The pod's own.
    pub folder: &'a Path,
}

/// Where a volume of a pod is kept.
pub fn volume(folder: &Path, name: &str) -> PathBuf {
    folder.join("volumes").join(name)
}

impl OfPod<'_> {
    /// The run of a container with this number. An error is the message of `CreateContainerConfigError`.
    pub fn launch(&self, container: &Container, image: &Image, number: u32) -> Result<Launch, String> {
        let rights = rights(self.spec, container, image)?;
        let variables = variables(self.pod, container, &image.variables, self.sources, self.place)?;
        let entry = entry_point(&image.program);
        let mut line = command_line(container, &entry, &variables, self.place.ip);
        // the image's own program, by whatever path the manifest calls it
        if line[0].rsplit('/').next() == entry.rsplit('/').next() {
            line[0] = entry;
        }
        let folder = self.folder.join(format!("{}-{number}", container.name));
        let name = self.pod.metadata.name.as_deref().unwrap_or_default();
        let (ip, server) = (self.place.ip, &self.place.api_server.0);
        Ok(Launch {
            log: folder.with_extension("log"),
            folder,
            program: image.program.clone(),
            line,
            variables: variables.into_iter().collect(),
            working_folder: container.working_dir.clone().filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned()),
            mounts: self.mounts(container),
            rights,
            hosts: format!("127.0.0.1 localhost\n{ip} {name}\n{server} kubernetes.default.svc\n"),
        })
    }

    fn mounts(&self, container: &Container) -> Vec<Mount> {
        let mounts = container.volume_mounts.iter().flatten().map(|mount| {
            let named = self.spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
            let is_own = named.is_some_and(|volume| volume.empty_dir.is_some());
            let source = volume(self.folder, &mount.name).join(mount.sub_path.as_deref().unwrap_or_default());
            Mount { source, target: mount.mount_path.clone(), read_only: !is_own || mount.read_only == Some(true) }
        });
        mounts.collect()
    }
}
