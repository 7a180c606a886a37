//! `#[derive(Signature)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Meta, Path, Result, Token, parse_quote};

/// serde attributes with which postcard does not read back what it wrote: it stores neither names nor lengths of structs.
const REFUSED: [&str; 14] = [
    "skip_serializing_if",
    "skip",
    "skip_serializing",
    "skip_deserializing",
    "flatten",
    "untagged",
    "tag",
    "content",
    "with",
    "serialize_with",
    "deserialize_with",
    "from",
    "try_from",
    "into",
];

pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    let krate = krate(&item.attrs)?;
    let core = quote!(#krate::__private::core);
    check(&item.attrs)?;
    let body = match &item.data {
        Data::Struct(data) => fields(&core, "struct", &data.fields)?,
        Data::Enum(data) => {
            let mut mixed = TokenStream::new();
            for variant in &data.variants {
                check(&variant.attrs)?;
                mixed.extend(fields(&core, &variant.ident.to_string(), &variant.fields)?);
            }
            mixed
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span, "a union cannot be sent: use an enum"));
        }
    };
    let name = &item.ident;
    let mut generics = item.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!(#core::Signature));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics #core::Signature for #name #type_generics #where_clause {
            const FINGERPRINT: u64 = {
                let hash = #core::signature::fingerprint::START;
                #body
                hash
            };
        }
    })
}

fn fields(core: &TokenStream, what: &str, fields: &Fields) -> Result<TokenStream> {
    let mut mixed = quote!(let hash = #core::signature::fingerprint::text(hash, #what););
    for field in fields {
        check(&field.attrs)?;
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let ty = &field.ty;
        mixed.extend(quote! {
            let hash = #core::signature::fingerprint::text(hash, #name);
            let hash = #core::signature::fingerprint::mix(hash, <#ty as #core::Signature>::FINGERPRINT);
        });
    }
    Ok(mixed)
}

fn check(attrs: &[Attribute]) -> Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        for meta in attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            if let Some(name) =
                meta.path().get_ident().filter(|name| REFUSED.iter().any(|refused| name == refused))
            {
                let message = format!(
                    "postcard cannot read back what it wrote with #[serde({name})]: remove it, or send this task's arguments as JSON (without `codec = \"postcard\"`)"
                );
                return Err(Error::new(meta.span(), message));
            }
        }
    }
    Ok(())
}

fn krate(attrs: &[Attribute]) -> Result<TokenStream> {
    let mut path: Option<Path> = None;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("lovage")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("expected #[lovage(crate = path)]"));
            }
            path = Some(meta.value()?.call(Path::parse_mod_style)?);
            Ok(())
        })?;
    }
    Ok(path.map_or_else(|| quote!(::lovage), |path| quote!(#path)))
}
