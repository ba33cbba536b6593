//! What the operator may do, as docs/operate/operator.md lists it, and nothing more.

use serde_json::{Value, json};

use super::control_plane::Namespace;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Grants it in this namespace to these `ServiceAccount`s.
pub fn grant(ns: &Namespace<'_>, accounts: &[&str]) {
    grant_rules(ns, "operator", &documented(), accounts);
}

/// Grants it in this namespace to these `ServiceAccount`s of another one.
pub fn grant_to_others(ns: &Namespace<'_>, home: &Namespace<'_>, accounts: &[&str]) {
    grant_in(ns, home, "operator", &documented(), accounts);
}

/// Grants these rules by a role of this name.
pub fn grant_rules(ns: &Namespace<'_>, role: &str, rules: &[Value], accounts: &[&str]) {
    grant_in(ns, ns, role, rules, accounts);
}

fn grant_in(ns: &Namespace<'_>, home: &Namespace<'_>, role: &str, rules: &[Value], accounts: &[&str]) {
    let reference = json!({"apiGroup": GROUP, "kind": "Role", "name": role});
    let metadata = json!({"name": role});
    let role = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Role", "metadata": metadata, "rules": rules});
    let subjects: Vec<_> =
        accounts.iter().map(|name| json!({"kind": "ServiceAccount", "name": name, "namespace": home.name()})).collect();
    let binding = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects
    });
    ns.api().create(&ns.group(&format!("{GROUP}/v1"), "roles"), &role).ok();
    ns.api().create(&ns.group(&format!("{GROUP}/v1"), "rolebindings"), &binding).ok();
}

/// The rows of the page's table.
fn documented() -> Vec<Value> {
    let page = include_str!("../../../docs/operate/operator.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, group, resources, verbs, _] = cells[..] else { return None };
        let verbs = verbs
            .split_once(" (")
            .map_or(verbs.to_owned(), |(some, rest)| format!("{some}{}", rest.split_once(')').map_or("", |(_, more)| more)));
        let words = |text: &str| text.split(',').map(|word| word.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
        resources.starts_with('`').then(|| {
            let group = if group == "core" { "" } else { group.trim_matches('`') };
            json!({"apiGroups": [group], "resources": words(resources), "verbs": words(&verbs)})
        })
    });
    let rules: Vec<_> = rows.collect();
    assert_eq!(rules.len(), 7, "{rules:?}");
    rules
}
