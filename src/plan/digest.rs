//! Identifies what a request is for: what its responses have shown means nothing for another request. Pure.

use xxhash_rust::xxh3::Xxh3;

use super::{Order, RequestPlan, ResourcePlan, print};

/// Of the request and of `parts`. Zero bytes keep the parts apart.
pub(super) fn of(request: &RequestPlan, parts: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    let mut add = |part: &str| {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    };
    add(request.method.as_str());
    add(request.url.as_str());
    for (name, value) in &request.query {
        add(name);
        add(value.as_str());
    }
    for (name, value) in &request.headers {
        add(name.as_str());
        add(value.as_str());
    }
    add(&request.body.as_ref().map(|body| print::body(body).to_string()).unwrap_or_default());
    for part in parts {
        add(part);
    }
    hash.digest()
}

impl ResourcePlan {
    /// Identifies the declared order, the request that is to bring it about and the dates that show it, as hexadecimal; `None` where no
    /// order is declared.
    pub fn order_digest(&self) -> Option<String> {
        let order = match self.order {
            Order::Ascending => "ascending",
            Order::Descending => "descending",
            Order::Unordered => return None,
        };
        let path = |date: &Option<super::DateField>| date.as_ref().map(|date| date.path.to_string()).unwrap_or_default();
        let (updated, created) = (path(&self.extract.updated), path(&self.extract.created));
        Some(format!("{:016x}", of(&self.request, &[order, &updated, &created])))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::template::Template;
    use crate::plan::{ExtractPlan, sample};

    #[test]
    fn an_edit_of_what_makes_the_order_makes_another_digest() {
        let ascending = || ResourcePlan { order: Order::Ascending, ..sample::resource() };
        let first = ascending().order_digest();
        assert!(first.is_some());
        assert_eq!(sample::resource().order_digest(), None, "none is declared");
        assert_eq!(ResourcePlan { page_size: Some(7), ..ascending() }.order_digest(), first);
        let mut sorted = ascending();
        sorted.request.query.push(("sort".to_owned(), Template::parse("updated").unwrap()));
        let mut elsewhere = ascending();
        elsewhere.request.url = Template::parse("https://api.example.com/v2/people?since=${since}").unwrap();
        let extract = ExtractPlan { updated: None, ..ExtractPlan::clone(&sample::resource().extract) };
        let by_created = ResourcePlan { extract: Arc::new(extract), ..ascending() };
        let descending = ResourcePlan { order: Order::Descending, ..ascending() };
        for edited in [sorted, elsewhere, by_created, descending] {
            assert_ne!(edited.order_digest(), first, "{edited:?}");
        }
    }
}
