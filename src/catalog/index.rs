//! The files of `/catalog` by key, embedded. Generated: `UPDATE_GENERATED=1 cargo test --lib catalog` writes it.

/// Key and text of each entry, ordered by key.
#[rustfmt::skip]
pub(super) const FILES: &[(&str, &str)] = &[
    ("github", include_str!("../../catalog/github/connector.yaml")),
    ("infusionsoftrest", include_str!("../../catalog/infusionsoftrest/connector.yaml")),
];
