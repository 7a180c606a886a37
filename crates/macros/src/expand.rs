//! The expansion of `#[task]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, Result, Type};

use crate::function::{Function, Parameter, is_option, shown};
use crate::options::Options;

pub(crate) fn task(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let function: Function = syn::parse2(item)?;
    let parameters = function.parameters()?;
    check_named(&options, &parameters)?;
    if function.body.is_none() && options.name.is_none() {
        let message = "a declaration without a body states the name of the task that another program runs: #[task(name = \"…\")]";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    Ok(Task { options, function, parameters }.expand())
}

struct Task {
    options: Options,
    function: Function,
    parameters: Vec<Parameter>,
}

impl Task {
    fn expand(&self) -> TokenStream {
        let krate = self.options.krate();
        let core = quote!(#krate::__private::core);
        let Function { vis, sig, attrs, body } = &self.function;
        let ident = &sig.ident;
        let cfgs: Vec<_> = attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
        let docs = attrs.iter().filter(|attr| attr.path().is_ident("doc"));
        let (returns, returns_shown, in_result) = self.function.returns(&core);
        let name = self.name(&core);
        let params = self.params(&core);
        let codec = self.codec(&core);
        let task_options = self.options.tokens(&core);
        let (names, types): (Vec<&Ident>, Vec<&Type>) = self.arguments().unzip();
        let name_texts: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let encode = names
            .iter()
            .zip(&types)
            .zip(&name_texts)
            .map(|((name, ty), text)| quote_spanned!(ty.span()=> .arg(#text, &#name)));
        let function = body.as_ref().map(|body| quote!(#(#attrs)* #vis #sig #body));
        let run = body.as_ref().map(|_| self.run(&core, in_result, &returns_shown, &task_options));
        let register = body.as_ref().map(
            |_| quote!(#(#cfgs)* #core::__private::inventory::submit! { #core::Registered(#ident::def) }),
        );
        // What a declaration names is used, or its imports would be reported as unused.
        let declared = body.is_none().then(|| {
            let output = &sig.output;
            let inputs = sig.inputs.iter().filter_map(|input| match input {
                syn::FnArg::Typed(typed) => Some(&typed.ty),
                syn::FnArg::Receiver(_) => None,
            });
            quote!(#(#cfgs)* const _: ::std::option::Option<fn(#(#inputs),*) #output> = ::std::option::Option::None;)
        });
        let about = format!("Sends and describes the task behind [`{ident}()`].");
        quote! {
            #function

            #(#cfgs)*
            #(#docs)*
            #[doc = ""]
            #[doc = #about]
            #[allow(non_camel_case_types, missing_debug_implementations, clippy::allow_attributes, clippy::allow_attributes_without_reason)]
            #vis struct #ident {}

            #(#cfgs)*
            #[allow(dead_code, missing_docs, unreachable_pub, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::too_many_arguments, clippy::future_not_send)]
            impl #ident {
                /// The name that messages call this task by.
                pub const NAME: &'static str = #name;
                const __PARAMS: &'static [#core::Param] = &[#params];
                const __CODEC: #core::Codec = #codec;

                /// A call, to be given options and sent.
                pub fn call(#(#names: #types),*) -> #krate::Call<#returns> {
                    let __payload = #core::ArgumentsBuilder::new(Self::__CODEC) #(#encode)* .finish();
                    #krate::__private::new_call(Self::NAME, #task_options, Self::__PARAMS, __payload)
                }

                /// Sends a call at once.
                ///
                /// # Errors
                /// When an argument cannot be encoded, or the broker does not take the message.
                pub async fn delay(
                    __client: &#krate::Client, #(#names: #types),*
                ) -> ::std::result::Result<#krate::Handle<#returns>, #krate::ClientError> {
                    Self::call(#(#names),*).send(__client).await
                }

                #run
            }

            #register
            #declared
        }
    }

    fn arguments(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument { name, ty } => Some((name, ty)),
            Parameter::Context { .. } | Parameter::State(_) => None,
        })
    }

    fn name(&self, core: &TokenStream) -> TokenStream {
        if let Some(name) = &self.options.name {
            return quote!(#name);
        }
        let ident = plain(&self.function.sig.ident);
        quote!({
            const PATH: &str = concat!(module_path!(), "::", #ident);
            const DOTTED: [u8; #core::__private::dotted_len(PATH)] = #core::__private::dotted(PATH);
            #core::__private::text(&DOTTED)
        })
    }

    fn params(&self, core: &TokenStream) -> TokenStream {
        let params = self.arguments().map(|(name, ty)| {
            let optional =
                is_option(ty) || self.options.defaults.iter().any(|(with_default, _)| with_default == name);
            let redacted = self.options.redact.contains(name);
            let (name, ty) = (plain(name), shown(ty));
            quote!(#core::Param { name: #name, type_name: #ty, optional: #optional, redacted: #redacted },)
        });
        quote!(#(#params)*)
    }

    fn codec(&self, core: &TokenStream) -> TokenStream {
        let Some(_) = self.options.postcard else { return quote!(#core::Codec::Json) };
        let mixed = self.arguments().map(|(name, ty)| {
            let name = plain(name);
            quote_spanned! {ty.span()=>
                let hash = #core::signature::fingerprint::text(hash, #name);
                let hash = #core::signature::fingerprint::mix(hash, <#ty as #core::Signature>::FINGERPRINT);
            }
        });
        quote!(#core::Codec::Postcard { fingerprint: {
            let hash = #core::signature::fingerprint::START;
            #(#mixed)*
            hash
        } })
    }

    /// `def()` and the function that a worker runs.
    fn run(&self, core: &TokenStream, in_result: bool, returns: &str, options: &TokenStream) -> TokenStream {
        let ident = &self.function.sig.ident;
        let mut taken = Vec::new();
        let mut passed = Vec::new();
        let mut states = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let local = format_ident!("__p{index}");
            match parameter {
                Parameter::Context { by_reference: true } => passed.push(quote!(&__ctx)),
                Parameter::Context { by_reference: false } => passed.push(quote!(__ctx.clone())),
                Parameter::State(ty) => {
                    taken.push(quote!(let #local = __ctx.state::<#ty>()?;));
                    states.push(quote!(#core::StateNeed::of::<#ty>()));
                    passed.push(local.to_token_stream());
                }
                Parameter::Argument { name, ty } => {
                    let default =
                        match self.options.defaults.iter().find(|(with_default, _)| with_default == name) {
                            Some((_, expr)) => {
                                quote!(::std::option::Option::Some((|| -> #ty { #expr }) as fn() -> #ty))
                            }
                            None => quote!(::std::option::Option::None),
                        };
                    taken.push(quote_spanned!(ty.span()=>
                        let #local: #ty = __args.take(#default).map_err(#core::ArgumentsError::into_task_error)?;
                    ));
                    passed.push(local.to_token_stream());
                }
            }
        }
        let is_async = self.function.sig.asyncness.is_some();
        let awaited = is_async.then(|| quote!(.await));
        let unwrapped = in_result.then(|| quote!(.map_err(::std::convert::Into::<#core::TaskError>::into)?));
        let asyncness = is_async.then(|| quote!(async));
        let handler = if is_async {
            quote!(#core::Handler::Async(|ctx, args| ::std::boxed::Box::pin(Self::__run(ctx, args))))
        } else {
            quote!(#core::Handler::Blocking(Self::__run))
        };
        quote! {
            /// What a worker needs to run this task.
            pub fn def() -> #core::TaskDef {
                #core::TaskDef {
                    name: Self::NAME,
                    options: #options,
                    params: Self::__PARAMS,
                    returns: #returns,
                    codec: Self::__CODEC,
                    states: ::std::vec![#(#states),*],
                    handler: #handler,
                }
            }

            #[allow(unused_mut, unused_variables, clippy::let_unit_value, clippy::unit_arg)]
            #asyncness fn __run(__ctx: #core::Context, mut __args: #core::Arguments) -> #core::TaskResult {
                #(#taken)*
                let __value = #ident(#(#passed),*) #awaited #unwrapped;
                #core::__private::finish(&__value)
            }
        }
    }
}

/// A name without `r#`.
fn plain(name: &Ident) -> String {
    let text = name.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// Options that name parameters must name arguments.
fn check_named(options: &Options, parameters: &[Parameter]) -> Result<()> {
    let names: Vec<&Ident> = parameters
        .iter()
        .filter_map(|parameter| match parameter {
            Parameter::Argument { name, .. } => Some(name),
            Parameter::Context { .. } | Parameter::State(_) => None,
        })
        .collect();
    let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let named = options.defaults.iter().map(|(name, _)| name).chain(&options.redact);
    for name in named {
        if !names.contains(&name) {
            return Err(Error::new(
                name.span(),
                format!("there is no argument `{name}`: expected one of {all}"),
            ));
        }
    }
    if names.len() > 255 {
        return Err(Error::new(names[255].span(), "a task has at most 255 arguments: use a struct"));
    }
    Ok(())
}
