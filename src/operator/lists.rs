//! Which first lists of the watches have ended, and what waits for those of connectors: an instance is planned once the connectors of its
//! namespace are read, and waits for no other namespace, whose lists may fail. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cluster::Kind;
use super::watch::Listing;
use crate::api::identity::{ConnectorRef, InstanceRef};

/// What is watched.
const KINDS: [Kind; 3] = [Kind::ConnectorInstance, Kind::Connector, Kind::Secret];

/// The lists that have ended, by kind and namespace; without a namespace one list is that of all.
#[derive(Debug)]
pub(super) struct Lists {
    ended: HashSet<(Kind, Option<Arc<str>>)>,
    of_each_kind: usize,
    /// Connectors of the first lists that are not read yet, by namespace; no set is empty.
    unread: HashMap<Arc<str>, HashSet<ConnectorRef>>,
    /// Instances that wait for the connectors of their namespace.
    held_back: HashMap<Arc<str>, Vec<InstanceRef>>,
}

impl Lists {
    /// There is one list of each kind for each of this number of namespaces, or for all together if none is named.
    pub(super) fn new(namespaces: usize) -> Self {
        Self { ended: HashSet::new(), of_each_kind: namespaces.max(1), unread: HashMap::new(), held_back: HashMap::new() }
    }

    /// A list has ended.
    pub(super) fn note(&mut self, kind: Kind, namespace: Option<Arc<str>>) {
        self.ended.insert((kind, namespace));
    }

    /// Whether the list that includes this namespace has ended.
    pub(super) fn has(&self, kind: Kind, namespace: Option<&Arc<str>>) -> bool {
        self.ended.contains(&(kind, None)) || self.ended.contains(&(kind, namespace.cloned()))
    }

    /// Whether all lists have ended.
    pub(super) fn are_complete(&self) -> bool {
        KINDS.iter().all(|kind| self.ended.iter().filter(|(of, _)| of == kind).count() >= self.of_each_kind)
    }

    /// A list of connectors has ended, of which these are `read` already. Returns the instances that need not wait any longer.
    pub(super) fn note_connectors(&mut self, listing: Listing<ConnectorRef>, read: &HashSet<ConnectorRef>) -> Vec<InstanceRef> {
        if !self.has(Kind::Connector, listing.namespace.as_ref()) {
            for unread in listing.all.into_iter().filter(|listed| !read.contains(listed)) {
                self.unread.entry(Arc::clone(&unread.namespace)).or_default().insert(unread);
            }
        }
        self.note(Kind::Connector, listing.namespace);
        let free: Vec<_> = self.held_back.keys().filter(|namespace| self.knows_connectors(namespace)).cloned().collect();
        free.iter().filter_map(|namespace| self.held_back.remove(namespace)).flatten().collect()
    }

    /// A connector was read. Returns the instances that need not wait any longer.
    pub(super) fn note_read(&mut self, connector: &ConnectorRef) -> Vec<InstanceRef> {
        if let Some(unread) = self.unread.get_mut(&connector.namespace) {
            unread.remove(connector);
            if unread.is_empty() {
                self.unread.remove(&connector.namespace);
            }
        }
        let is_free = self.knows_connectors(&connector.namespace);
        if is_free { self.held_back.remove(&connector.namespace).unwrap_or_default() } else { Vec::new() }
    }

    /// Whether the connectors of this namespace are read.
    pub(super) fn knows_connectors(&self, namespace: &Arc<str>) -> bool {
        self.has(Kind::Connector, Some(namespace)) && !self.unread.contains_key(namespace)
    }

    /// Keeps an instance until the connectors of its namespace are read.
    pub(super) fn hold_back(&mut self, instance: InstanceRef) {
        self.held_back.entry(Arc::clone(&instance.namespace)).or_default().push(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(namespace: Option<&str>, all: &[(&str, &str)]) -> Listing<ConnectorRef> {
        let all = all.iter().map(|(namespace, name)| ConnectorRef::new(*namespace, *name)).collect();
        Listing { namespace: namespace.map(Arc::from), all }
    }

    #[test]
    fn everything_is_listed_when_each_kind_is_in_each_namespace() {
        for namespaces in [&[None][..], &[Some("crm")], &[Some("crm"), Some("shop")]] {
            let mut lists = Lists::new(namespaces.iter().flatten().count());
            for namespace in namespaces {
                for kind in KINDS {
                    assert!(!lists.are_complete(), "{namespaces:?}");
                    let namespace = namespace.map(Arc::from);
                    assert!(!lists.has(kind, namespace.as_ref()));
                    lists.note(kind, namespace.clone());
                    lists.note(kind, namespace.clone());
                    assert!(lists.has(kind, namespace.as_ref()));
                }
            }
            assert!(lists.are_complete(), "{namespaces:?}");
        }
    }

    #[test]
    fn an_instance_waits_for_the_connectors_of_its_namespace_and_for_no_other() {
        let (crm, shop) = (InstanceRef::new("crm", "keap"), InstanceRef::new("shop", "orders"));
        let mut lists = Lists::new(2);
        lists.hold_back(crm.clone());
        lists.hold_back(shop.clone());
        let of_crm = listing(Some("crm"), &[("crm", "a"), ("crm", "b")]);
        let read = HashSet::from([ConnectorRef::new("crm", "b")]);
        assert!(lists.note_connectors(of_crm, &read).is_empty(), "one is not read yet");
        assert_eq!(lists.note_read(&ConnectorRef::new("crm", "a")), std::slice::from_ref(&crm));
        assert!(lists.knows_connectors(&crm.namespace) && !lists.knows_connectors(&shop.namespace));
        // A connector that comes later is read when it is seen, and nothing waits for it.
        assert!(lists.note_connectors(listing(Some("crm"), &[("crm", "c")]), &HashSet::new()).is_empty());
        assert!(lists.knows_connectors(&crm.namespace));
        assert_eq!(lists.note_connectors(listing(Some("shop"), &[]), &HashSet::new()), [shop]);
    }

    #[test]
    fn a_list_of_all_has_every_namespace() {
        let instances = ["crm", "shop"].map(|namespace| InstanceRef::new(namespace, "it"));
        let mut lists = Lists::new(0);
        for instance in &instances {
            lists.hold_back(instance.clone());
        }
        assert_eq!(lists.note_connectors(listing(None, &[("crm", "a")]), &HashSet::new()), instances[1..]);
        assert_eq!(lists.note_read(&ConnectorRef::new("crm", "a")), instances[..1]);
        lists.note(Kind::Secret, None);
        assert!(
            lists.has(Kind::Secret, Some(&Arc::from("crm"))) && !lists.has(Kind::ConnectorInstance, Some(&Arc::from("crm")))
        );
    }
}
