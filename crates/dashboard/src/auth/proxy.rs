//! A proxy in front that knows who somebody is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::HeaderMap;

use super::Role;

/// What a proxy in front says of who somebody is, by headers that it sets on each request.
///
/// The proxy must remove these headers from what browsers send, and nobody may reach the dashboard around it: they are
/// believed from the proxy's own addresses only.
#[derive(Clone, Debug)]
pub struct Proxy {
    user_header: String,
    operators: BTreeSet<String>,
    groups_header: Option<String>,
    operator_groups: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Proxy {
    /// A proxy at these addresses that says the name in a header such as `x-forwarded-user`. Everybody is a viewer, but for
    /// [`operators`](Self::operators) and [`operator_groups`](Self::operator_groups).
    pub fn new(user_header: impl Into<String>, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            user_header: user_header.into(),
            operators: BTreeSet::new(),
            groups_header: None,
            operator_groups: BTreeSet::new(),
            addresses: addresses.into_iter().map(|address| address.to_canonical()).collect(),
        }
    }

    /// These people are operators.
    #[must_use]
    pub fn operators(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.operators.extend(names);
        self
    }

    /// Members of these groups are operators; `header`, such as `x-forwarded-groups`, has somebody's groups with commas
    /// between them.
    #[must_use]
    pub fn operator_groups(
        mut self,
        header: impl Into<String>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        self.groups_header = Some(header.into());
        self.operator_groups.extend(groups);
        self
    }

    /// The addresses of the proxy.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().copied()
    }

    /// Whether a peer is the proxy.
    pub(crate) fn is_at(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.addresses.contains(&peer.to_canonical()))
    }

    /// Who a request is from. A header that comes twice says nothing: one of them may be somebody else's.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Option<(String, Role)> {
        let name = single(headers, &self.user_header)?.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return None;
        }
        let groups = self.groups_header.as_deref().and_then(|header| single(headers, header));
        let mut groups = groups.unwrap_or_default().split(',').map(str::trim);
        let is_operator =
            self.operators.contains(name) || groups.any(|group| self.operator_groups.contains(group));
        Some((name.to_owned(), if is_operator { Role::Operator } else { Role::Viewer }))
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn names_and_groups_make_operators_and_doubt_makes_nobody() {
        let proxy = Proxy::new("x-user", [IpAddr::from([10, 0, 0, 1])])
            .operators(["ann".to_owned()])
            .operator_groups("x-groups", ["ops".to_owned()]);
        let role =
            |pairs: &[(&'static str, &'static str)]| proxy.identify(&headers(pairs)).map(|(_, role)| role);
        assert_eq!(role(&[("x-user", "ann")]), Some(Role::Operator));
        assert_eq!(role(&[("x-user", "bob")]), Some(Role::Viewer));
        assert_eq!(role(&[("x-user", "bob"), ("x-groups", "dev, ops")]), Some(Role::Operator));
        assert_eq!(role(&[("x-groups", "ops")]), None);
        assert_eq!(role(&[("x-user", " ")]), None);
        let mut twice = headers(&[("x-user", "bob")]);
        twice.append("x-user", "ann".parse().unwrap());
        assert_eq!(proxy.identify(&twice), None);
        assert!(proxy.is_at(Some("::ffff:10.0.0.1".parse().unwrap())));
        assert!(!proxy.is_at(Some(IpAddr::from([10, 0, 0, 2]))));
        assert!(!proxy.is_at(None));
    }
}
