//! What a trial shows of the credentials, before it asks for lists.

use chrono::Utc;

use super::spends;
use super::wishes::Wishes;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceId;
use crate::auth::oauth2::credentials::Credentials;
use crate::fetch::asker::Asker;
use crate::fetch::probe;
use crate::fetch::request::masked;
use crate::observe::output;
use crate::plan::{PollPlan, RequestPlan, ResourcePlan};

/// Asks with the connector's probe, if it has one, and says whether the credentials are accepted. The lists decide whether the trial fails:
/// credentials may be allowed to read them and not the probe.
pub(super) async fn prove(asker: &Asker, credentials: &Credentials, plan: &PollPlan, wishes: Wishes) {
    let Some((request, resource)) = plan.probe.as_deref().zip(plan.resources.first()) else { return };
    // What a trial cannot ask is said where the lists are tried.
    if !wishes.keeps_tokens && spends(&resource.auth) {
        return;
    }
    output::line(format_args!("{}, probe", plan.instance));
    match ask(asker, credentials, plan, (request, resource)).await {
        Ok(()) => output::line(format_args!("  credentials:  the provider accepts them")),
        Err(problem) => {
            output::line(format_args!("  warning:      {problem}"));
            if let Some(seen) = &problem.seen {
                output::line(format_args!("                {seen}"));
            }
        }
    }
}

async fn ask(
    asker: &Asker,
    credentials: &Credentials,
    plan: &PollPlan,
    (probe, resource): (&RequestPlan, &ResourcePlan),
) -> Result<(), Problem> {
    let user = InstanceId::new(plan.instance.clone(), "");
    let auth = credentials.authorize_once(resource, &user).await?;
    let mut request = probe::build(probe, resource, Utc::now())?;
    auth.apply(&mut request);
    for line in masked(&request, &auth).lines() {
        output::line(format_args!("  {line}"));
    }
    let (response, _share) = asker.send(&plan.instance, resource, &auth, request, || {}).await?;
    probe::read(resource, &response, Utc::now()).map_err(|problem| asker.explain(resource, &auth, &response, problem))
}
