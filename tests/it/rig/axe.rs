//! axe-core in the browser: what on a page keeps people from using it.

use serde_json::Value;

use super::browser::Browser;
use super::real_server::Package;

const PACKAGE: Package = Package { folder: "axe", need: "Node 20 and npm" };

/// The checks, as a script for any page.
pub struct Axe(String);

impl Axe {
    /// `None`: it cannot be had here, which one loud line says.
    pub fn load() -> Option<Self> {
        if !PACKAGE.install() {
            return None;
        }
        let printed = PACKAGE.script().output().expect("bash was there to install it");
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        Some(Self(String::from_utf8(printed.stdout).expect("a script")))
    }

    /// Fails where the page that is shown has a violation of WCAG 2.2 A or AA, or of the best practices.
    pub fn assert_clean(&self, browser: &Browser) {
        browser.run(&format!("{}\nreturn 1", self.0));
        let found =
            browser.run_async("const done = arguments[arguments.length - 1]; axe.run().then(done, (why) => done(String(why)))");
        assert!(found["violations"].is_array(), "axe does not run: {found}");
        let violations = found["violations"].as_array().into_iter().flatten();
        let lines: Vec<_> = violations
            .map(|violation| {
                let nodes = violation["nodes"].as_array().into_iter().flatten();
                let nodes: Vec<_> = nodes.map(|node| format!("{}: {}", node["html"], text(&node["failureSummary"]))).collect();
                format!("{}: {}\n  {}", text(&violation["id"]), text(&violation["help"]), nodes.join("\n  "))
            })
            .collect();
        assert!(lines.is_empty(), "{}:\n{}", browser.url(), lines.join("\n"));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
