//! One reading of all files, perhaps while what an earlier one found is in effect.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::definitions::{Definitions, Found, INSTANCE, Object, Origin, SECRET, Unusable};
use super::files::{Least, MANAGED, Sources};
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::api::manifest;
use crate::catalog;

/// What was read, and what could not be.
#[derive(Default)]
pub(super) struct Reading {
    found: Found,
    errors: Vec<String>,
    /// Files that cannot be used.
    spoilt: BTreeSet<Arc<str>>,
    /// A folder could not be listed: any file may be missing.
    is_cut: bool,
    /// An entry of the mounted folder cannot be used.
    lacks_entry: bool,
}

impl Reading {
    /// Reads all files; `last` is in effect.
    pub fn of(sources: &Sources, last: Option<&Definitions>) -> Self {
        let mut read = Self::default();
        for file in sources.catalog() {
            let entry = file.map_err(|error| vec![error.to_string()]);
            match entry.and_then(|(name, text)| catalog::entry(&name, &text)) {
                Ok((key, connector)) => drop(read.found.connectors.mounted.insert(key, connector)),
                Err(refusals) => {
                    read.lacks_entry = true;
                    read.errors.extend(refusals);
                }
            }
        }
        let mut contested = BTreeSet::new();
        for file in sources.manifests() {
            let (name, text) = match file {
                Ok(file) => file,
                Err(error) => {
                    read.is_cut |= error.file.is_none();
                    read.spoilt.extend(error.file.as_deref().map(Arc::from));
                    read.errors.push(error.to_string());
                    continue;
                }
            };
            let declared = manifest::read(&name, &text);
            let origin = Origin { file: name.into(), is_managed: text.starts_with(MANAGED) };
            read.found.others.extend(declared.others);
            if !declared.errors.is_empty() {
                read.errors.extend(declared.errors.iter().map(ToString::to_string));
                read.spoilt.insert(Arc::clone(&origin.file));
                // The first reading names whatever else is wrong; a later one leaves all of the file as it was.
                if last.is_some() {
                    continue;
                }
            }
            for (place, manifest) in declared.manifests {
                let (namespace, name) = manifest.key();
                let object: Object = (manifest.kind(), namespace.into(), name.into());
                let Some(other) = read.found.origins.get(&object).map(|origin| Arc::clone(&origin.file)) else {
                    if !contested.contains(&object) {
                        read.found.add(object, manifest, origin.clone());
                    }
                    continue;
                };
                let (kind, namespace, name) = &object;
                read.errors.push(format!("{place}: {kind} {namespace}/{name} is declared twice; remove one"));
                // Where it was declared all along, it is; which one of two new ones is meant, no one knows.
                match last.and_then(|last| last.origins.get(&object)).map(|origin| &origin.file) {
                    Some(own) if *own == origin.file => read.found.add(object, manifest, origin.clone()),
                    Some(own) if *own == other => {}
                    _ => {
                        read.found.remove(&object);
                        contested.insert(object);
                    }
                }
            }
        }
        read
    }

    /// Plans what was read, over what was before where files could not be used.
    ///
    /// # Errors
    /// There would be fewer than the `least` instances.
    pub fn finish(mut self, least: Least, before: &Definitions) -> Result<(Definitions, Option<Unusable>), Unusable> {
        let kept = if self.errors.is_empty() { Vec::new() } else { self.keep(before) };
        if self.found.instances.is_empty() && kept.is_empty() && least == Least::One {
            if self.errors.is_empty() {
                self.errors.push("no ConnectorInstance was found; name a file or folder that holds one".to_owned());
            }
            return Err(Unusable(self.errors));
        }
        let mut definitions = self.found.plan();
        for of in kept {
            if let Some(planned) = before.planned.get(&of) {
                definitions.planned.insert(of, planned.clone());
            } else if let Some(problems) = before.refused.get(&of) {
                definitions.refused.insert(of, problems.clone());
            }
        }
        let errors = Some(self.errors).filter(|errors| !errors.is_empty()).map(Unusable);
        Ok((definitions, errors))
    }

    /// Takes over what was not found and may be in a file that cannot be used. Yields the instances.
    fn keep(&mut self, before: &Definitions) -> Vec<InstanceRef> {
        let mut instances = Vec::new();
        for (object, origin) in &before.origins {
            if self.found.origins.contains_key(object) || !self.may_be_there(origin) {
                continue;
            }
            let (kind, namespace, name) = object;
            let (namespace, name) = (Arc::clone(namespace), Arc::clone(name));
            match *kind {
                INSTANCE => instances.push(InstanceRef::new(namespace, name)),
                SECRET => {
                    if let Some(secret) = crate::auth::Secrets::get(&before.secrets, &namespace, &name) {
                        self.found.secrets.insert(SecretRef::new(namespace, name), (*secret).clone());
                    }
                }
                _ => {
                    let of = ConnectorRef::new(namespace, name);
                    if let Some(spec) = before.connectors.declared.get(&of) {
                        self.found.connectors.declared.insert(of, spec.clone());
                    }
                }
            }
            self.found.origins.insert(object.clone(), origin.clone());
        }
        if self.lacks_entry {
            for (key, entry) in &before.connectors.mounted {
                self.found.connectors.mounted.entry(key.clone()).or_insert_with(|| entry.clone());
            }
        }
        instances
    }

    /// Whether what was in a file and was not found may be in one that cannot be used. A managed file is written as a whole, so what is
    /// missing from it was removed.
    fn may_be_there(&self, origin: &Origin) -> bool {
        let is_there = || self.is_cut && Path::new(&*origin.file).try_exists().unwrap_or(true);
        !origin.is_managed || self.spoilt.contains(&origin.file) || is_there()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn instance(name: &str, connector: &str, interval: &str) -> String {
        format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: {name}, namespace: crm}}\nspec:\n  \
             connector: {connector}\n  polling: {{interval: {interval}}}\n  callback: {{url: \"https://h.example/in\"}}\n"
        )
    }

    const CONNECTOR: &str = "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {name: own, namespace: crm}\nspec: {baseUrl: \
                             \"https://a.example\", resources: [{name: orders, url: /orders}]}\n";
    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: crm}\nstringData: {a: b}\n";

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.write(
                "crm.a.yaml",
                &format!("{MANAGED}\n{}---\n{}", instance("a", "own", "1m"), SECRET.replace("key", "a-key")),
            );
            folder.write("m.yaml", &format!("{CONNECTOR}---\n{SECRET}---\n{}", instance("m", "own", "1m")));
            folder.write("u.yaml", &instance("u", "own", "1m"));
            folder
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.path().join(name), text).unwrap();
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.0.path().join(name)).unwrap();
        }

        fn sources(&self) -> Sources {
            Sources::new(vec![self.0.path().to_owned()], None)
        }

        /// What is read now, over `last`, and whether files could not be used.
        fn over(&self, last: &Definitions) -> (Definitions, Option<String>) {
            let (read, errors) = Definitions::read_over(&self.sources(), last).unwrap();
            (read, errors.map(|errors| errors.to_string()))
        }
    }

    fn names(definitions: &Definitions) -> String {
        let all: Vec<_> = definitions.planned.keys().map(|of| &*of.name).collect();
        let mut secrets: Vec<_> = definitions.secrets.names().map(|(_, name)| name).collect();
        secrets.sort_unstable();
        assert!(definitions.refused.is_empty(), "{:?}", definitions.refused);
        format!("{} {}", all.join(","), secrets.join(","))
    }

    fn interval(definitions: &Definitions, name: &str) -> String {
        format!("{:?}", definitions.planned[&InstanceRef::new("crm", name)].plan.resources[0].interval)
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing_of_its_own_and_keeps_no_other_from_it() {
        let folder = Folder::new();
        let first = Definitions::read(&folder.sources()).unwrap();
        assert_eq!(names(&first), "a,m,u a-key,key");
        // The connector and the Secret of the damaged file stay, and so does its instance.
        for damage in ["kind: [\n".to_owned(), CONNECTOR.replace("baseUrl", "baseUri"), "\u{0}".to_owned()] {
            folder.write("m.yaml", &damage);
            folder.write("crm.a.yaml", &format!("{MANAGED}\n{}", instance("a", "own", "2m")));
            folder.write("crm.new.yaml", &format!("{MANAGED}\n{}", instance("new", "own", "1m")));
            let (read, errors) = folder.over(&first);
            assert!(errors.is_some_and(|errors| errors.contains("m.yaml")), "{damage:?}");
            assert_eq!(names(&read), "a,m,new,u key", "the Secret left the managed file");
            assert_eq!((interval(&read, "a"), interval(&read, "m")), ("120s".to_owned(), "60s".to_owned()));
            assert_eq!(read.planned[&InstanceRef::new("crm", "m")], first.planned[&InstanceRef::new("crm", "m")]);
            folder.remove("crm.a.yaml");
            let (read, _) = folder.over(&read);
            assert_eq!(names(&read), "m,new,u key", "what is managed here was deleted");
            folder.remove("crm.new.yaml");
        }
        assert!(Definitions::read(&folder.sources()).is_err(), "a start is refused");
        folder.remove("m.yaml");
        let (read, errors) = folder.over(&first);
        assert!(errors.is_none() && read.planned.is_empty() && read.refused.len() == 1, "{errors:?}");
    }

    #[test]
    fn what_a_person_may_have_moved_into_a_damaged_file_is_not_taken_for_removed() {
        let folder = Folder::new();
        let first = Definitions::read(&folder.sources()).unwrap();
        folder.remove("u.yaml");
        folder.write("moved.yaml", &format!("{}  oops", instance("u", "own", "1m")));
        let (read, errors) = folder.over(&first);
        assert!(errors.is_some() && names(&read) == "a,m,u a-key,key", "{}", names(&read));
        folder.write("moved.yaml", &instance("u", "own", "5m"));
        let (read, errors) = folder.over(&read);
        assert!(errors.is_none() && interval(&read, "u") == "300s", "{errors:?}");
        // A folder that cannot be listed is one with any file.
        let both = Sources::new(vec![folder.0.path().to_owned(), folder.0.path().join("absent")], None);
        folder.remove("moved.yaml");
        let (kept, errors) = Definitions::read_over(&both, &read).unwrap();
        assert!(errors.is_some() && names(&kept) == "a,m,u a-key,key");
    }

    #[test]
    fn what_is_declared_twice_is_where_it_was() {
        let folder = Folder::new();
        let first = Definitions::read(&folder.sources()).unwrap();
        folder.write("aa.yaml", &format!("{}---\n{}", instance("u", "own", "9m"), instance("x", "own", "9m")));
        folder.write("crm.a.yaml", &format!("{MANAGED}\n{}", instance("a", "own", "2m")));
        folder.write("zz.yaml", &format!("{}---\n{}", instance("a", "own", "9m"), instance("x", "own", "8m")));
        let (read, errors) = folder.over(&first);
        assert_eq!(errors.unwrap().matches("is declared twice").count(), 3);
        assert_eq!(names(&read), "a,m,u key", "which x is meant, no one knows");
        assert_eq!((interval(&read, "a"), interval(&read, "u")), ("120s".to_owned(), "60s".to_owned()));
    }

    #[test]
    fn nothing_changes_where_no_instance_would_be_left() {
        let folder = Folder::new();
        let first = Definitions::read(&folder.sources()).unwrap();
        for name in ["crm.a.yaml", "m.yaml", "u.yaml"] {
            folder.remove(name);
        }
        assert!(Definitions::read_over(&folder.sources(), &first).is_err());
        assert!(Definitions::read_over(&folder.sources().with_least(Least::None), &first).is_ok());
    }
}
