//! Temporary.
/// x
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    text.into()
}
/// x
#[derive(Debug)]
pub struct Describer;
impl Describer {
    /// x
    pub fn new(_: buildtap_proto::schema::Schemas, _: bool) -> Self {
        Describer
    }
    /// x
    pub fn line(&self, _: &str, _: bool, body: &[u8], _: bool) -> String {
        format!("{}", body.len())
    }
    /// x
    pub fn packet(p: &crate::protocol::diffcopy::Packet) -> String {
        format!("{:?}", p.kind)
    }
}
impl Describer {
    /// x
    pub fn json(&self, _: &str, _: bool, body: &[u8], _: bool) -> serde_json::Value {
        serde_json::Value::from(body.len())
    }
}
