/* One signature: hash the message, settle padding and salt, and let JavaScript sign the digest. */
#include "signer.h"
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const ProviderContext *provider;
  SignerKey *key;
  EVP_MD_CTX *digest;
  const char *hash;
  int padding;     /* RSA only */
  int salt_length; /* RSA-PSS only: bytes, or one of the rules RSA_PSS_SALTLEN_… below zero */
} Signing;

static void *new_context(void *provctx, const char *properties) {
  (void)properties;
  Signing *signing = OPENSSL_zalloc(sizeof *signing);
  if (signing == NULL) return NULL;
  signing->provider = provctx;
  signing->padding = RSA_PKCS1_PADDING;
  signing->salt_length = RSA_PSS_SALTLEN_DIGEST;
  return signing;
}

static void free_context(void *ctx) {
  Signing *signing = ctx;
  if (signing == NULL) return;
  registry_release(signing->key);
  EVP_MD_CTX_free(signing->digest);
  OPENSSL_free(signing);
}

/* Rule, EVP_DigestSignFinal(3): it finishes a copy, so that the caller may go on with the original. */
static void *copy_context(void *ctx) {
  const Signing *original = ctx;
  Signing *copy = OPENSSL_memdup(original, sizeof *original);
  if (copy == NULL) return NULL;
  if (copy->key != NULL) registry_hold(copy->key);
  if (original->digest == NULL) return copy;
  copy->digest = EVP_MD_CTX_new();
  if (copy->digest != NULL && EVP_MD_CTX_copy_ex(copy->digest, original->digest)) return copy;
  free_context(copy);
  return NULL;
}

/* Rule, provider-signature(7) "pad-mode": it comes as a number or by name. */
static int set_padding(Signing *signing, const OSSL_PARAM *param) {
  int padding = 0;
  if (param->data_type != OSSL_PARAM_UTF8_STRING) {
    if (!OSSL_PARAM_get_int(param, &padding)) return 0;
  } else if (strcmp(param->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0) {
    padding = RSA_PKCS1_PADDING;
  } else if (strcmp(param->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0) {
    padding = RSA_PKCS1_PSS_PADDING;
  }
  if (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_PSS_PADDING)
    return refuse(signing->provider, "the padding is neither PKCS#1 v1.5 nor PSS");
  signing->padding = padding;
  return 1;
}

/* Rule, provider-signature(7) "saltlen": bytes or a rule, as a number or as text. */
static int set_salt_length(Signing *signing, const OSSL_PARAM *param) {
  const char *text = param->data;
  char *end;
  if (param->data_type != OSSL_PARAM_UTF8_STRING) return OSSL_PARAM_get_int(param, &signing->salt_length);
  if (strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0) {
    signing->salt_length = RSA_PSS_SALTLEN_DIGEST;
  } else if (strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_MAX) == 0 || strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO) == 0) {
    signing->salt_length = RSA_PSS_SALTLEN_MAX;
  } else {
    signing->salt_length = (int)strtol(text, &end, 10);
    if (end == text || *end != '\0') return refuse(signing->provider, "the salt length is not a number");
  }
  return 1;
}

/* Rule, provider-signature(7): settings add to earlier ones, and no settings are fine. */
static int set_params(void *ctx, const OSSL_PARAM params[]) {
  if (params == NULL) return 1;
  const OSSL_PARAM *padding = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
  const OSSL_PARAM *salt_length = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
  return (padding == NULL || set_padding(ctx, padding)) && (salt_length == NULL || set_salt_length(ctx, salt_length));
}

static const OSSL_PARAM *settable_params(void *ctx, void *provctx) {
  static const OSSL_PARAM params[] = {
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
    OSSL_PARAM_END,
  };
  (void)ctx, (void)provctx;
  return params;
}

/* The hashes of RFC 8446 4.2.3 without SHA-1; NULL for any other. */
static const char *hash_name(const EVP_MD *hash) {
  if (EVP_MD_is_a(hash, "SHA256")) return "sha256";
  if (EVP_MD_is_a(hash, "SHA384")) return "sha384";
  if (EVP_MD_is_a(hash, "SHA512")) return "sha512";
  return NULL;
}

static int start_hash(Signing *signing, const char *name) {
  EVP_MD *hash = EVP_MD_fetch(NULL, name, NULL);
  signing->hash = hash == NULL ? NULL : hash_name(hash);
  EVP_MD_CTX_free(signing->digest);
  signing->digest = signing->hash == NULL ? NULL : EVP_MD_CTX_new();
  int started = signing->digest != NULL && EVP_DigestInit_ex(signing->digest, hash, NULL);
  EVP_MD_free(hash);
  return started ? 1 : refuse(signing->provider, "the hash is not SHA-256, SHA-384 or SHA-512");
}

/* Rule, EVP_DigestSignInit(3): a context may be started again, and without a key it keeps the one it has. */
static int start(void *ctx, const char *hash, void *key, const OSSL_PARAM params[]) {
  Signing *signing = ctx;
  if (key != NULL) {
    registry_hold(key);
    registry_release(signing->key);
    signing->key = key;
  }
  if (signing->key == NULL || hash == NULL) return refuse(signing->provider, "neither key nor hash was given");
  return start_hash(signing, hash) && set_params(signing, params);
}

static int update(void *ctx, const unsigned char *data, size_t size) {
  return EVP_DigestUpdate(((Signing *)ctx)->digest, data, size);
}

static const char *scheme_name(const Signing *signing) {
  if (EVP_PKEY_is_a(signing->key->public_key, "EC")) return "ecdsa";
  return signing->padding == RSA_PKCS1_PADDING ? "rsa-pkcs1" : "rsa-pss";
}

/* Rule, provider-signature(7): without `out`, the greatest possible size is wanted. */
static int finish(void *ctx, unsigned char *out, size_t *out_size, size_t capacity) {
  const Signing *signing = ctx;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_size;
  if (out == NULL) {
    *out_size = (size_t)EVP_PKEY_get_size(signing->key->public_key);
    return 1;
  }
  if (!EVP_DigestFinal_ex(signing->digest, digest, &digest_size)) return 0;
  SignRequest request = { scheme_name(signing), signing->hash, digest, digest_size, signing->salt_length };
  return ask_javascript(signing->provider, signing->key, &request, out, out_size, capacity);
}

/* Rule, provider-signature(7): init, update and final are the least that digest signing needs. */
static const OSSL_DISPATCH functions[] = {
  ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, new_context),
  ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, free_context),
  ENTRY(OSSL_FUNC_SIGNATURE_DUPCTX, copy_context),
  ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, start),
  ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, update),
  ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, finish),
  ENTRY(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
  ENTRY(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable_params),
  ENTRY_END,
};

const OSSL_ALGORITHM signature_algorithms[] = {
  { RSA_NAMES, PROVIDER_PROPERTY, functions, "signature made by JavaScript" },
  { "ECDSA", PROVIDER_PROPERTY, functions, "signature made by JavaScript" },
  { NULL, NULL, NULL, NULL },
};
