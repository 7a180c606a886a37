//! The options inside `#[task(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, Expr, Ident, LitBool, LitInt, LitStr, Path, Result, Token, parenthesized};

const ALLOWED: &str = "name, queue, priority, retries, retry_delay, retry_jitter, soft_time_limit, time_limit, \
                       store_result, keep_result, default(…), redact(…), ack, codec, crate";

/// The options as written.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) defaults: Vec<(Ident, Expr)>,
    pub(crate) redact: Vec<Ident>,
    pub(crate) postcard: Option<Span>,
    krate: Option<Path>,
    queue: Option<LitStr>,
    priority: Option<u8>,
    retries: Option<u32>,
    retry_delay: Option<u64>,
    retry_jitter: Option<bool>,
    soft_time_limit: Option<u64>,
    time_limit: Option<u64>,
    store_result: Option<bool>,
    keep_result: Option<u64>,
    early: Option<bool>,
    seen: Vec<String>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|meta| options.one(&meta)).parse2(tokens)?;
        Ok(options)
    }

    /// Where the library is found.
    pub(crate) fn krate(&self) -> TokenStream {
        self.krate.as_ref().map_or_else(|| quote!(::lovage), |path| quote!(#path))
    }

    fn one(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let option = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        if self.seen.contains(&option) {
            return Err(meta.error(format!("`{option}` is given twice")));
        }
        match option.as_str() {
            "name" => {
                self.name = Some(checked_name(
                    meta.value()?.parse()?,
                    200,
                    |c| !c.is_whitespace() && !c.is_control(),
                    "without white space",
                )?)
            }
            "queue" => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
                self.queue = Some(checked_name(
                    meta.value()?.parse()?,
                    100,
                    allowed,
                    "of letters, digits, `_`, `-`, `.`, `:`",
                )?);
            }
            "priority" => {
                let value: LitInt = meta.value()?.parse()?;
                let number = value.base10_parse().ok().filter(|number| *number <= 9);
                self.priority = Some(
                    number
                        .ok_or_else(|| Error::new(value.span(), "expected 0 to 9, where 9 is run first"))?,
                );
            }
            "retries" => self.retries = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?),
            "retry_delay" => self.retry_delay = Some(duration(meta)?),
            "retry_jitter" => self.retry_jitter = Some(meta.value()?.parse::<LitBool>()?.value),
            "soft_time_limit" => self.soft_time_limit = Some(duration(meta)?),
            "time_limit" => self.time_limit = Some(duration(meta)?),
            "store_result" => self.store_result = Some(meta.value()?.parse::<LitBool>()?.value),
            "keep_result" => self.keep_result = Some(duration(meta)?),
            "ack" => self.early = Some(one_of(meta, &["late", "early"])? == 1),
            "codec" => {
                if one_of(meta, &["json", "postcard"])? == 1 {
                    self.postcard = Some(meta.path.get_ident().map_or_else(Span::call_site, Ident::span));
                }
            }
            "crate" => self.krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            "default" => {
                let content;
                parenthesized!(content in meta.input);
                let pairs = content.parse_terminated(
                    |input| {
                        let name: Ident = input.parse()?;
                        input.parse::<Token![=]>()?;
                        Ok((name, input.parse::<Expr>()?))
                    },
                    Token![,],
                )?;
                self.defaults = pairs.into_iter().collect();
            }
            "redact" => {
                let content;
                parenthesized!(content in meta.input);
                self.redact =
                    content.parse_terminated(|input| input.parse(), Token![,])?.into_iter().collect();
            }
            _ => return Err(meta.error(format!("unknown option: expected one of {ALLOWED}"))),
        }
        self.seen.push(option);
        Ok(())
    }

    /// The expression of the `TaskOptions`.
    pub(crate) fn tokens(&self, core: &TokenStream) -> TokenStream {
        let queue = some(self.queue.as_ref());
        let priority = match self.priority {
            // The number was checked; a constant lets the compiler check it again.
            Some(number) => quote!(Some(const {
                match #core::Priority::new(#number) { Ok(priority) => priority, Err(_) => panic!("priority is 0 to 9") }
            })),
            None => quote!(None),
        };
        let retry = self.retry(core);
        let [soft, hard, keep] =
            [self.soft_time_limit, self.time_limit, self.keep_result].map(|millis| match millis {
                Some(millis) => quote!(Some(::std::time::Duration::from_millis(#millis))),
                None => quote!(None),
            });
        let store_result = some(self.store_result.as_ref());
        let ack = match self.early {
            Some(true) => quote!(Some(#core::AckMode::Early)),
            Some(false) => quote!(Some(#core::AckMode::Late)),
            None => quote!(None),
        };
        quote!(#core::TaskOptions {
            queue: #queue, priority: #priority, retry: #retry, soft_time_limit: #soft, time_limit: #hard,
            store_result: #store_result, ack: #ack, keep_success: #keep, keep_failure: #keep,
        })
    }

    fn retry(&self, core: &TokenStream) -> TokenStream {
        if self.retries.is_none() && self.retry_delay.is_none() && self.retry_jitter.is_none() {
            return quote!(None);
        }
        let retries = self.retries.unwrap_or(3);
        let backoff = self.retry_delay.map(
            |millis| quote!(backoff: #core::Backoff::Fixed(::std::time::Duration::from_millis(#millis)),),
        );
        // A chosen delay is kept to, unless jitter is asked for.
        let jitter = self.retry_jitter.unwrap_or(self.retry_delay.is_none());
        if backoff.is_some() {
            quote!(Some(#core::RetryPolicy { max_retries: #retries, #backoff jitter: #jitter }))
        } else {
            quote!(Some(#core::RetryPolicy { jitter: #jitter, ..#core::RetryPolicy::times(#retries) }))
        }
    }
}

fn some<T: quote::ToTokens>(value: Option<&T>) -> TokenStream {
    value.map_or_else(|| quote!(None), |value| quote!(Some(#value)))
}

fn checked_name(name: LitStr, max: usize, allowed: fn(char) -> bool, rule: &str) -> Result<LitStr> {
    let text = name.value();
    if text.is_empty() || text.len() > max || !text.chars().all(allowed) {
        return Err(Error::new(name.span(), format!("expected 1 to {max} characters {rule}")));
    }
    Ok(name)
}

fn one_of(meta: &ParseNestedMeta<'_>, words: &[&str]) -> Result<usize> {
    let value: LitStr = meta.value()?.parse()?;
    let found = value.value();
    words.iter().position(|word| *word == found).ok_or_else(|| {
        Error::new(
            value.span(),
            format!(
                "expected one of {}",
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            ),
        )
    })
}

/// A duration in milliseconds, written as `lovage_core::parse_duration` reads it. A proc-macro crate cannot depend on
/// core without making every user compile it twice, so the grammar's units stand here once more.
fn duration(meta: &ParseNestedMeta<'_>) -> Result<u64> {
    let value: LitStr = meta.value()?.parse()?;
    millis(&value.value()).ok_or_else(|| {
        Error::new(
            value.span(),
            "expected a duration such as \"250ms\", \"10s\", \"5m\", \"1h30m\" or \"7d\"",
        )
    })
}

fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}
