//! Renewing leases and registrations, on a connection of its own.

use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use lovage_core::{BackendError, Extended, Leases, QueueName, Timestamp, Token, WorkerInfo};
use lovage_redis::Redis;

use crate::answer::{Answer, integer, task_id};
use crate::args::Args;
use crate::control::to_json;
use crate::keys::Keys;
use crate::scripts;

/// A second connection.
#[derive(Debug)]
pub(crate) struct RedisLeases {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
}

#[async_trait]
impl Leases for RedisLeases {
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError> {
        if tokens.is_empty() {
            return Ok(Extended::default());
        }
        let mut args = Args::at(now).duration(lease);
        tokens.iter().for_each(|token| args.push_bytes(token.as_bytes()));
        let keys = vec![self.keys.queue(queue)];
        let answer = scripts::EXTEND.run(&self.redis, keys, args.into_values()).await?;
        let mut answer = Answer::new("extend", answer)?;
        let lost = answer.list()?;
        let revoked = answer.list()?;
        let token = |position: &Value| -> Result<Option<Token>, BackendError> {
            let position = usize::try_from(integer("extend", position)?).unwrap_or(0);
            Ok(position.checked_sub(1).and_then(|index| tokens.get(index)).copied())
        };
        Ok(Extended {
            lost: lost.iter().filter_map(|position| token(position).transpose()).collect::<Result<_, _>>()?,
            revoked: revoked.iter().map(|id| task_id("extend", id)).collect::<Result<_, _>>()?,
        })
    }

    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let args = Args::at(now).duration(ttl).text(&info.id.to_string()).bytes(&to_json(info)?);
        let keys = vec![self.keys.registry()];
        let known = scripts::SPEAK_FOR.run(&self.redis, keys, args.into_values()).await?;
        Ok(integer("speak_for", &known)? == 1)
    }
}
