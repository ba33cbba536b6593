//! Who is who: an authority of the plane's own, certificates, the admin's token, kubeconfig files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// The authority that the plane's servers are certified by, made anew for each plane. A client that trusts it cannot be talking
/// to another plane that happened to get the same port.
pub struct Identity {
    authority: Issuer<'static, KeyPair>,
    /// Certificate of the authority.
    pub authority_pem: String,
    /// A token of the group `system:masters`.
    pub admin_token: String,
}

/// A certificate for loopback with its key.
pub struct Leaf {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

impl Identity {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "pollinator-test-control-plane");
        let key = new_key();
        let certificate = params.self_signed(&key).expect("certificate");
        let admin_token = uuid::Uuid::new_v4().to_string();
        Self { authority_pem: certificate.pem(), authority: Issuer::new(params, key), admin_token }
    }

    /// Certifies a server on loopback.
    pub fn leaf(&self) -> Leaf {
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("params");
        let key = new_key();
        let certificate = params.signed_by(&key, &self.authority).expect("certificate");
        Leaf { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key }
    }

    /// Writes what the servers read: their certificate, the key pair of `ServiceAccount` tokens, the admin's token.
    pub fn write(&self, folder: &Path) {
        let leaf = self.leaf();
        let accounts = new_key();
        for (file, text) in [
            ("authority.crt", self.authority_pem.clone()),
            ("server.crt", leaf.certificate_pem),
            ("server.key", leaf.key.serialize_pem()),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
            ("tokens.csv", format!("{},admin,admin,system:masters\n", self.admin_token)),
        ] {
            fs::write(folder.join(file), text).expect("the plane's own folder");
        }
    }

    /// Writes a kubeconfig, in JSON, which is YAML.
    pub fn write_kubeconfig(&self, path: PathBuf, server: &str, token: &str, namespace: &str) -> PathBuf {
        let authority = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &self.authority_pem);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "preferences": {},
            "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
        });
        fs::write(&path, Value::to_string(&config)).expect("the plane's own folder");
        path
    }

    /// What a client needs to believe the plane's servers.
    pub fn client_config(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let authority =
            <CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(self.authority_pem.as_bytes());
        roots.add(authority.expect("just made")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

impl Leaf {
    /// For a server that speaks HTTP/1.1 alone.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("key")
}
