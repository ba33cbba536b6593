//! Images: the name in a manifest, and the program of this machine that stands for it.

use std::path::PathBuf;

/// What is in an image: one program.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    /// Path of the entry point on this machine.
    pub program: PathBuf,
    /// `ENV` of the image.
    pub variables: Vec<(String, String)>,
    /// `USER` of the image.
    pub user: u32,
}

impl Image {
    /// The image of this name, in any version, holds this program.
    pub fn new(name: &str, program: impl Into<PathBuf>) -> Self {
        Self { name: name.to_owned(), program: program.into(), variables: Vec::new(), user: 65532 }
    }

    /// Pollinator's own.
    pub fn pollinator(name: &str) -> Self {
        Self::pollinator_of(name, env!("CARGO_BIN_EXE_pollinator"))
    }

    /// Pollinator's, with the program of another version.
    pub fn pollinator_of(name: &str, program: impl Into<PathBuf>) -> Self {
        // its default, which the kubelet makes the pod's own address
        let listen = ("POLLINATOR_LISTEN".to_owned(), "0.0.0.0:8080".to_owned());
        Self { variables: vec![listen], ..Self::new(name, program) }
    }

    /// An image with this machine's shell.
    pub fn shell(name: &str) -> Self {
        Self { user: 0, ..Self::new(name, "/bin/sh") }
    }

    /// Whether a reference means this image: with or without a tag and digest.
    pub fn is(&self, reference: &str) -> bool {
        let name = reference.split('@').next().unwrap_or_default();
        let untagged = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => before,
            _ => name,
        };
        [reference, name, untagged].contains(&self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_may_have_a_tag_and_a_digest() {
        let image = Image::new("registry.example:5000/team/it", "/bin/true");
        for (reference, is) in [
            ("registry.example:5000/team/it", true),
            ("registry.example:5000/team/it:1.2", true),
            ("registry.example:5000/team/it:1.2@sha256:00", true),
            ("registry.example:5000/team/it@sha256:00", true),
            ("team/it", false),
            ("registry.example:5000/team/its:1", false),
        ] {
            assert_eq!(image.is(reference), is, "{reference}");
        }
    }
}
