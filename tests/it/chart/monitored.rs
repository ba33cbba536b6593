//! Alerts and dashboard ask for metrics that there are.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::chart_file;
use crate::rig::control_plane::conform::unreadable;

/// A page of the documentation, by its path in `docs/`.
fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn assert_known(expressions: &str) {
    let metrics = page("reference/metrics.md");
    let used: BTreeSet<_> =
        Regex::new(r"pollinator_[a-z_]+").unwrap().find_iter(expressions).map(|found| found.as_str().to_owned()).collect();
    assert!(used.len() > 4, "{used:?}");
    for name in used {
        let family = name.strip_suffix("_bucket").unwrap_or(&name);
        assert!(metrics.contains(&format!("| `{family}` |")), "{name} is no metric");
    }
    for label in Regex::new(r#"(outcome|state|peer|kind)="([a-z_]+)""#).unwrap().captures_iter(expressions) {
        let values = Regex::new(&format!(r"`{}`: [a-z_, ]*\b{}\b", &label[1], &label[2])).unwrap();
        assert!(values.is_match(&metrics), "{} is never {}", &label[1], &label[2]);
    }
}

#[test]
fn every_alert_asks_for_metrics_that_there_are_and_has_its_section() {
    let text = chart_file("files/alerts.yaml");
    let groups: Value = serde_saphyr::from_str(&text).unwrap();
    let rules = groups[0]["rules"].as_array().unwrap();
    assert!(rules.len() > 7);
    let operations = page("operate/operations.md");
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(operations.contains(&format!("\n### {name}\n")), "docs/operate/operations.md has no section {name}");
        let annotation = |name: &str| rule["annotations"][name].as_str().unwrap_or_else(|| panic!("{rule} has no {name}"));
        let page = "https://github.com/pollinator-dev/pollinator/blob/main/docs/operate/operations.md";
        assert_eq!(annotation("runbook_url"), format!("{page}#{}", name.to_lowercase()));
        let (summary, description) = (annotation("summary"), annotation("description"));
        assert!(summary.ends_with('.') && description.ends_with('.') && description.len() > summary.len(), "{name}");
        assert!(description.matches("{{").count() == description.matches("}}").count(), "{description}");
        assert!(rule["labels"]["severity"].is_string(), "{name}");
    }
    assert_known(&text);
}

#[test]
fn every_panel_asks_for_metrics_that_there_are() {
    let text = chart_file("files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<_> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(expressions.len() >= panels.len());
    assert_known(&expressions.join("\n"));
}

#[test]
fn prometheus_can_read_every_expression() {
    let groups: Value = serde_saphyr::from_str(&chart_file("files/alerts.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&chart_file("files/dashboard.json")).unwrap();
    let alerts = groups[0]["rules"].as_array().unwrap().iter().map(|rule| &rule["expr"]);
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let shown = panels.flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| &target["expr"]);
    // what Grafana puts in before it asks
    let line = |expr: &Value| expr.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let expressions: Vec<_> = alerts.chain(shown).map(|expr| line(expr).replace("$__rate_interval", "5m")).collect();
    assert!(expressions.len() > 15, "{expressions:?}");
    let Some(told) = unreadable(&expressions) else { return };
    assert_eq!(told, "");
    let broken = unreadable(&[expressions[0].clone(), "sum(rate(pollinator_polls_total[5m))".to_owned()]).unwrap();
    assert!(broken.starts_with("sum(rate") && broken.contains("parse error"), "{broken}");
}
