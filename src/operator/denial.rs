//! What the API server denies, and for what reason: a permission, a quota or an admission policy.

use crate::api::names;

/// What the API server says of an object that a `ResourceQuota` has no room for.
const QUOTA_USED_UP: &str = "exceeded quota";

/// What the API server says of an object that is new in a namespace that is being deleted.
pub(super) const TERMINATING: &str = "because it is being terminated";

/// How the API server begins what a `ValidatingAdmissionPolicy`, or an admission webhook, says of a request that it denies.
const POLICY: &str = "ValidatingAdmissionPolicy '";
const WEBHOOK: &str = "admission webhook \"";

/// Who or what is denied, in the words of the API server, which name the caller and must not be in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is denied.
    pub of: Denied,
    /// The server's words.
    pub words: String,
}

/// What is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The server does not know the caller (401).
    Caller,
    /// The caller may not do this (403).
    Call,
    /// A `ResourceQuota` of the namespace is used up (403, too): no permission is missing.
    Quota,
    /// An admission policy, or a webhook, denies this object (403, 422 or 400, as it likes).
    Policy,
}

impl Denial {
    /// The admission policy or webhook that denies it, by its name.
    pub fn policy(&self) -> Option<String> {
        let named = |what: &str, prefix: &str, end: char| {
            let (_, rest) = self.words.split_once(prefix)?;
            let (name, _) = rest.split_once(end)?;
            names::is_subdomain(name).then(|| format!("{what} {name}"))
        };
        named("ValidatingAdmissionPolicy", POLICY, '\'').or_else(|| named("webhook", WEBHOOK, '"'))
    }
}

/// What is denied, by the words of a refusal. The words of RBAC and of other authorizers name the user; admission comes after them.
pub(super) fn denied(words: &str) -> Denied {
    if words.contains(QUOTA_USED_UP) {
        Denied::Quota
    } else if is_policy(words) {
        Denied::Policy
    } else {
        Denied::Call
    }
}

fn is_policy(words: &str) -> bool {
    (words.contains(POLICY) || words.contains(WEBHOOK)) && !words.contains("forbidden: User \"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::cluster::CallError;

    #[test]
    fn a_denial_by_a_policy_is_no_missing_permission() {
        let of = |code: u16, words: &str| {
            let status = kube::core::Status { code, ..kube::core::Status::failure(words, "") };
            CallError::from(kube::Error::Api(Box::new(status)))
        };
        let policy = r#"configmaps "a-known-1" is forbidden: ValidatingAdmissionPolicy 'need-team' with binding 'need-team' denied request: label team is required"#;
        let webhook = r#"admission webhook "pods.example.com" denied the request: no"#;
        for (words, name) in [(policy, "ValidatingAdmissionPolicy need-team"), (webhook, "webhook pods.example.com")] {
            for code in [400, 403, 422] {
                let CallError::Forbidden(denial) = of(code, words) else { panic!("{code} {words}") };
                assert_eq!((denial.of, denial.policy().as_deref(), &*denial.words), (Denied::Policy, Some(name), words));
            }
        }
        let rbac = r#"configmaps is forbidden: User "system:serviceaccount:a:b" cannot create resource "configmaps" in API group "" in the namespace "crm""#;
        let quota = r#"configmaps "a" is forbidden: exceeded quota: q, requested: count/configmaps=1"#;
        for (words, expected) in [(rbac, Denied::Call), (quota, Denied::Quota)] {
            let CallError::Forbidden(denial) = of(403, words) else { panic!("{words}") };
            assert_eq!((denial.of, denial.policy()), (expected, None));
        }
        assert!(matches!(of(422, "ConnectorInstance \"a\" is invalid: status.parked: Invalid value"), CallError::Refused(_)));
    }
}
