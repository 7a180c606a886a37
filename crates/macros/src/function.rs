//! The function under `#[task]`: which of its parameters are arguments, and what it returns.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of syn are open: new kinds of syntax may come"
)]

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Block, Error, FnArg, GenericArgument, Ident, Pat, PathArguments, Result, ReturnType,
    Signature, Token, Type, Visibility,
};

/// A function with or without a body.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Option<Block>,
}

/// What stands in a parameter's place.
pub(crate) enum Parameter {
    /// An argument of a call.
    Argument { name: Ident, ty: Type },
    /// `&Context`, or `Context` when owned.
    Context { by_reference: bool },
    /// `State<T>` of this `T`.
    State(Type),
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let not_a_function = |error: Error| {
            Error::new(
                error.span(),
                "#[task] goes on a function: `async fn` or `fn`, with a body or ending in `;`",
            )
        };
        let sig = input.parse().map_err(not_a_function)?;
        let body = if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            None
        } else {
            Some(input.parse()?)
        };
        Ok(Self { attrs, vis, sig, body })
    }
}

impl Function {
    /// The parameters, each of them checked.
    pub(crate) fn parameters(&self) -> Result<Vec<Parameter>> {
        let sig = &self.sig;
        for (found, what) in [
            (
                sig.unsafety.map(|token| token.span()),
                "a task cannot be unsafe: wrap the unsafe part in a safe function",
            ),
            (sig.constness.map(|token| token.span()), "a task cannot be const"),
            (sig.abi.as_ref().map(Spanned::span), "a task cannot have a foreign ABI"),
            (sig.variadic.as_ref().map(Spanned::span), "a task cannot be variadic"),
            (
                sig.generics.lt_token.map(|token| token.span()),
                "a task cannot be generic: a worker must know its argument types. Write one task for each type",
            ),
        ] {
            if let Some(span) = found {
                return Err(Error::new(span, what));
            }
        }
        sig.inputs.iter().map(parameter).collect()
    }

    /// The type that a caller gets, and whether it stands in a `Result`.
    pub(crate) fn returns(&self, core: &TokenStream) -> (TokenStream, String, bool) {
        let ReturnType::Type(_, ty) = &self.sig.output else { return (quote!(()), "()".to_owned(), false) };
        let Type::Path(path) = &**ty else { return (quote!(#ty), shown(ty), false) };
        let Some(last) = path.path.segments.last() else { return (quote!(#ty), shown(ty), false) };
        if last.ident == "Result"
            && let PathArguments::AngleBracketed(args) = &last.arguments
            && let Some(GenericArgument::Type(ok)) = args.args.first()
        {
            return (quote!(#ok), shown(ok), true);
        }
        // An alias such as `io::Result` without arguments or `AppResult<T>`: the compiler knows what it stands for.
        if last.ident.to_string().ends_with("Result") {
            return (quote!(<#ty as #core::__private::TaskReturn>::Output), shown(ty), true);
        }
        (quote!(#ty), shown(ty), false)
    }
}

/// A type as a person writes it.
pub(crate) fn shown(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in [
        (" :: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        (" ,", ","),
        ("& ", "&"),
        ("< ", "<"),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
    ] {
        text = text.replace(spaced, tight);
    }
    text
}

/// Whether a type is written as an `Option`.
pub(crate) fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

fn parameter(input: &FnArg) -> Result<Parameter> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new(
            input.span(),
            "a task has no `self`: make it a free function and take what it needs as `State<T>`",
        ));
    };
    if let Some(attr) = typed.attrs.first() {
        return Err(Error::new(
            attr.span(),
            "attributes on a task's parameters have no effect: use options of #[task(…)]",
        ));
    }
    match &*typed.ty {
        Type::Reference(reference) if last_segment_is(&reference.elem, "Context") => {
            Ok(Parameter::Context { by_reference: true })
        }
        ty if last_segment_is(ty, "Context") => Ok(Parameter::Context { by_reference: false }),
        ty if last_segment_is(ty, "State") => state(ty),
        Type::Reference(reference) => {
            let owned = match shown(&reference.elem).as_str() {
                "str" => "String".to_owned(),
                other => other.to_owned(),
            };
            Err(Error::new(
                reference.span(),
                format!("arguments travel to another process and are owned: write `{owned}`"),
            ))
        }
        Type::ImplTrait(ty) => {
            Err(Error::new(ty.span(), "a worker must know the argument's type: write a concrete one"))
        }
        ty => match &*typed.pat {
            Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => {
                Ok(Parameter::Argument { name: name.ident.clone(), ty: ty.clone() })
            }
            pat => Err(Error::new(
                pat.span(),
                "an argument needs a name of its own: callers can pass it by name. Take it apart in the body",
            )),
        },
    }
}

fn state(ty: &Type) -> Result<Parameter> {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
        && let PathArguments::AngleBracketed(args) = &last.arguments
        && let Some(GenericArgument::Type(inner)) = args.args.first()
    {
        return Ok(Parameter::State(inner.clone()));
    }
    Err(Error::new(ty.span(), "name the type of the state: `State<Db>`"))
}

fn last_segment_is(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}
