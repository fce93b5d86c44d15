//! What a build client offers to the daemon when it opens a session.

/// A session as its opener describes it: in the header fields of `POST /session`, or in the
/// metadata of `Control/Session` (BuildKit `session/grpchijack`). Names are compared without
/// regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOffer {
    /// The session id.
    pub uuid: String,
    /// A name for people; only sent by clients older than BuildKit 0.16.
    pub name: Option<String>,
    /// What sessions of the same local directory share; may be empty.
    pub shared_key: Option<String>,
    /// The methods that the client serves, as sent and in the order sent, which means nothing.
    pub methods: Vec<String>,
    /// The daemon's health check timeout in milliseconds, where one is asked for.
    pub health_timeout: Option<u64>,
}

impl SessionOffer {
    /// Reads header fields or metadata. None without a session id.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Option<Self>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut offer = SessionOffer::default();
        let mut uuid = None;
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_ref());
            match name.as_ref().to_ascii_lowercase().as_str() {
                "x-docker-expose-session-uuid" => uuid = Some(value.into_owned()),
                "x-docker-expose-session-name" => offer.name = Some(value.into_owned()),
                "x-docker-expose-session-sharedkey" => offer.shared_key = Some(value.into_owned()),
                "x-docker-expose-session-grpc-method" => offer.methods.push(value.into_owned()),
                "x-buildkit-session-health-custom-timeout" => {
                    offer.health_timeout = value.parse().ok();
                }
                _ => {}
            }
        }
        offer.uuid = uuid.filter(|uuid| !uuid.is_empty())?;
        Some(offer)
    }

    /// Whether the client says it serves the method with this path, as the daemon would decide
    /// it: without regard to case (BuildKit `session/manager.go`).
    pub fn offers(&self, path: &str) -> bool {
        self.methods
            .iter()
            .any(|method| method.eq_ignore_ascii_case(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let http = [
            ("Upgrade", "h2c"),
            ("X-Docker-Expose-Session-Uuid", "abc"),
            ("X-Docker-Expose-Session-Sharedkey", ""),
            (
                "X-Docker-Expose-Session-Grpc-Method",
                "/moby.filesync.v1.FileSend/diffcopy",
            ),
            (
                "X-Docker-Expose-Session-Grpc-Method",
                "/grpc.health.v1.Health/Check",
            ),
            ("X-Buildkit-Session-Health-Custom-Timeout", "1500"),
        ];
        let grpc = http.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let offer = SessionOffer::from_headers(http).unwrap();
        assert_eq!(Some(&offer), SessionOffer::from_headers(grpc).as_ref());
        assert_eq!(
            (
                offer.uuid.as_str(),
                offer.shared_key.as_deref(),
                offer.name.as_deref()
            ),
            ("abc", Some(""), None)
        );
        assert_eq!(offer.health_timeout, Some(1500));
        assert!(offer.offers("/moby.filesync.v1.FileSend/DiffCopy"));
        assert!(!offer.offers("/moby.filesync.v1.FileSync/DiffCopy"));
    }

    #[test]
    fn without_an_id_there_is_no_session() {
        assert_eq!(SessionOffer::from_headers([("Upgrade", "h2c")]), None);
        let empty = [("x-docker-expose-session-uuid", "")];
        assert_eq!(SessionOffer::from_headers(empty), None);
    }
}
