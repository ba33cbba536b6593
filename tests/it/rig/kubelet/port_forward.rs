//! `kubectl port-forward`: the API server sends it to the kubelet, which hands it on to the streaming server of its container runtime. That
//! one is Kubernetes' own code, in a process of its own; kubelet and API server only pass the bytes on.

use std::path::Path;

use axum::body::Body;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::house::House;
use super::server::refusal;
use crate::rig::control_plane::guard::Guarded;

/// A streaming server that runs.
pub struct Streaming {
    address: String,
    _process: Guarded,
}

impl Streaming {
    /// Starts this program, its log in a folder.
    pub fn start(program: &Path, folder: &Path) -> Self {
        let mut process = Guarded::spawn(program, &[], folder);
        process.wait(|process| process.log().contains('\n')).unwrap_or_else(|why| panic!("it does not start: {why}"));
        let address = process.log().lines().next().unwrap_or_default().to_owned();
        Self { address, _process: process }
    }
}

/// Hands a request on, and then what both sides say.
pub async fn hand_on(house: &House, request: Request<Incoming>, (namespace, pod): (String, String)) -> Response<Body> {
    let Some(streaming) = house.streaming.get() else {
        return refusal(StatusCode::NOT_FOUND, "this kubelet serves no port-forward; the test has not asked for it");
    };
    let found = Api::<Pod>::namespaced(house.client.clone(), &namespace).get(&pod).await;
    let Some(address) = found.ok().and_then(|pod| pod.status?.pod_ip) else {
        return refusal(StatusCode::NOT_FOUND, "the pod has no address");
    };
    let handed = async {
        let stream = TcpStream::connect(&streaming.address).await.map_err(|error| error.to_string())?;
        pass(request, stream, &address).await
    };
    handed.await.unwrap_or_else(|why| refusal(StatusCode::BAD_GATEWAY, &why))
}

async fn pass(mut request: Request<Incoming>, stream: TcpStream, address: &str) -> Result<Response<Body>, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut inner = Request::new(Body::empty());
    *inner.method_mut() = request.method().clone();
    *inner.uri_mut() = format!("/portforward/{address}{query}").parse::<Uri>().map_err(|error| error.to_string())?;
    *inner.headers_mut() = request.headers().clone();
    let mut answer = sender.send_request(inner).await.map_err(|error| error.to_string())?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (outside, inside) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
        tokio::spawn(async move {
            let (Ok(outside), Ok(inside)) = tokio::join!(outside, inside) else { return };
            // either side may end it at any time
            let _ = copy_bidirectional(&mut TokioIo::new(outside), &mut TokioIo::new(inside)).await;
        });
    }
    Ok(answer.map(Body::new))
}
