//! The `#[task]` attribute and the `Signature` derive of Lovage.
//!
//! The expansion is thin: everything that it calls is a public builder of `lovage-core` or `lovage-client`, which
//! re-exports these macros with their documentation.

mod expand;
mod function;
mod options;
mod signature;

use proc_macro::TokenStream;

/// Makes a task of a function.
///
/// The function stays as it is and can be called here and now. Beside it stands a type of the same name, imported by
/// the same `use`, with `NAME`, `call(…)` (a call to be given options and sent), `delay(&client, …)` (sent at once) and
/// `def()` (for the worker: `tasks![add]`).
///
/// ```
/// # extern crate lovage_client as lovage;
/// use lovage::TaskError;
///
/// #[lovage::task(name = "movies.tasks.add")]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
///     Ok(x + y)
/// }
///
/// assert_eq!(add::NAME, "movies.tasks.add");
/// let call = add::call(1, 3).queue("math").priority(9);
/// ```
///
/// # Parameters
/// Arguments are owned types with serde's `Serialize` and `Deserialize`. `ctx: &Context` is the run itself, and
/// `db: State<Db>` a state of the worker; both are filled in by the worker and are no arguments of a call.
/// A plain `fn` runs on the worker's blocking pool. Any error type becomes a `TaskError` by `?`.
///
/// # Options
/// | option | means | default |
/// |---|---|---|
/// | `name = "movies.tasks.add"` | the name that messages call it by | module path and function, with dots |
/// | `queue = "math"` | its queue | routing, then `default` |
/// | `priority = 9` | 0 to 9, 9 first | 0 |
/// | `retries = 5` | tries after the first; 0 for none | 3 |
/// | `retry_delay = "10s"` | the same delay before each retry | doubling from 1 s to 10 min |
/// | `retry_jitter = false` | no random part in the delay | `true` |
/// | `soft_time_limit = "30s"` | then its cancellation fires | none |
/// | `time_limit = "1m"` | then it is stopped | none |
/// | `store_result = false` | the result is not stored | `true` |
/// | `keep_result = "1d"` | how long the stored result is kept | 7 days, failures 30 |
/// | `default(y = 2)` | what an argument is when a call leaves it out | `Option`s are `None` |
/// | `redact(card)` | arguments that are never shown | none |
/// | `ack = "early"` | settled before the run: at most once | `"late"`: at least once |
/// | `codec = "postcard"` | smaller and faster arguments of types that derive `Signature` | `"json"` |
/// | `crate = path` | where this library is found | `::lovage` |
///
/// # A declaration without a body
/// `#[task(name = "videos.resize")] async fn resize(id: u64) -> Result<Url, TaskError>;` declares a task that another
/// program runs: it can be called, but has no `def()`. It must state its name.
///
/// A task cannot share its name with a module of the same scope, because both are types to the compiler (E0428, E0255).
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    expand::task(options.into(), item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `Signature`: the structural fingerprint that `#[task(codec = "postcard")]` asks of its argument types.
///
/// Refuses the serde attributes with which postcard cannot read what it wrote, such as `skip_serializing_if`,
/// `flatten` and `untagged`. Recursive types have no fingerprint; send them as JSON.
#[proc_macro_derive(Signature, attributes(serde, lovage))]
pub fn signature(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    signature::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
