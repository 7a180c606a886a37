//! What the answer to `INFO` tells about a Redis, and whether Lovage can trust it with tasks.

use lovage_core::{BackendError, BackendErrorKind};

/// What was found; `None` where the server (or a managed service) does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerInfo<'a> {
    version: Option<(u32, u32)>,
    maxmemory_policy: Option<&'a str>,
    cluster: bool,
    replica: bool,
}

impl<'a> ServerInfo<'a> {
    pub(crate) fn parse(info: &'a str) -> Self {
        let mut found = Self::default();
        for (key, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match key {
                "redis_version" => found.version = parse_version(value),
                "maxmemory_policy" => found.maxmemory_policy = Some(value),
                "cluster_enabled" => found.cluster = value == "1",
                "role" => found.replica = value == "slave",
                _ => {}
            }
        }
        found
    }

    /// Refuses a server that would lose tasks or not understand the scripts. `server` is its masked URL.
    pub(crate) fn check(&self, server: &str, cluster: bool) -> Result<(), BackendError> {
        let config = |message| Err(BackendError::new(BackendErrorKind::Config, message));
        if let Some((major, minor)) = self.version.filter(|version| *version < (6, 2)) {
            return config(format!(
                "{server} is Redis {major}.{minor} and Lovage needs 6.2 or later: upgrade it"
            ));
        }
        if let Some(policy) = self.maxmemory_policy.filter(|policy| *policy != "noeviction") {
            return config(format!(
                "{server} has maxmemory-policy {policy}, which throws tasks away when memory is short: \
                 set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)"
            ));
        }
        if self.cluster && !cluster {
            return config(format!(
                "{server} is a node of a Redis Cluster: write redis-cluster://host[:port]"
            ));
        }
        if self.replica {
            return config(format!("{server} is a read-only replica: name its primary in the Redis URL"));
        }
        Ok(())
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &str) -> Result<(), BackendError> {
        ServerInfo::parse(info).check("redis://h:6379/0", false)
    }

    #[test]
    fn a_server_that_keeps_tasks_is_accepted() {
        check("# Server\r\nredis_version:6.2.0\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n").unwrap();
        check("redis_version:7.4.1\r\ncluster_enabled:0\r\n").unwrap();
        ServerInfo::parse("cluster_enabled:1\r\n").check("a of redis-cluster://a", true).unwrap();
    }

    #[test]
    fn what_a_server_does_not_say_is_tolerated() {
        check("").unwrap();
        check("redis_version:unknown\r\nmaxmemory:0\r\n").unwrap();
    }

    #[test]
    fn servers_that_would_lose_tasks_are_refused_with_what_to_do() {
        for (info, says) in [
            ("redis_version:6.0.16", "6.2 or later"),
            ("redis_version:5.0.7", "6.2 or later"),
            ("maxmemory_policy:allkeys-lru", "noeviction"),
            ("maxmemory_policy:volatile-ttl", "noeviction"),
            ("cluster_enabled:1", "redis-cluster://"),
            ("role:slave", "primary"),
        ] {
            let error = check(info).unwrap_err();
            assert!(error.to_string().contains(says), "{info}: {error}");
        }
    }
}
