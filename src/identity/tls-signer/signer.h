/*
 * The TLS signer: an OpenSSL provider that lives inside Node's own libcrypto. Its keys have a public half only; when TLS
 * wants a signature, it asks a JavaScript function on the main thread and waits for the answer.
 *
 *   addon.c      the doorway for JavaScript: addKey, removeKey, and the end of the process
 *   registry.c   which keys there are, and who still holds them
 *   provider.c   what OpenSSL is offered
 *   decoder.c    "-----BEGIN LATEBIND TLS KEY-----" -> key
 *   keymgmt.c    what OpenSSL may know of a key: everything public
 *   signature.c  hash, padding and salt, until only a digest is left to sign
 *   ask.c        the question to JavaScript, and what counts as an answer
 *
 * Nothing here links against libcrypto: node exports its own, and every symbol binds to that one. Only what OpenSSL 3.0
 * documents is used; 3.x keeps API and ABI (openssl.org, "Versioning Policy"), 4.x promises nothing.
 * "Rule" marks what the code relies on, with the manual page (OpenSSL 3.0) or RFC that says so.
 */
#ifndef LATEBIND_SIGNER_H
#define LATEBIND_SIGNER_H

#include <node_api.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#if OPENSSL_VERSION_MAJOR != 3
#error "the TLS signer needs the headers of OpenSSL 3"
#endif

/* 16 hex digits and the end: valid base64 too, so that no other reader of PEM stumbles over it. */
#define KEY_ID_SIZE 17

typedef struct SignerKey {
  struct SignerKey *next;
  int holders; /* the registry and OpenSSL's objects; the last to let go frees */
  char id[KEY_ID_SIZE];
  EVP_PKEY *public_key; /* of OpenSSL's default provider: it answers every question about the key */
  napi_env env;
  napi_ref sign; /* NULL once removed; main thread only */
} SignerKey;

/* One question to JavaScript. */
typedef struct {
  const char *scheme; /* "ecdsa", "rsa-pkcs1" or "rsa-pss" */
  const char *hash;   /* "sha256", "sha384" or "sha512" */
  const unsigned char *digest;
  size_t digest_size;
  int salt_length; /* rsa-pss only: bytes, or one of the rules RSA_PSS_SALTLEN_… below zero */
} SignRequest;

/* What every provider function gets as `provctx`: the core's upcalls. */
typedef struct {
  const OSSL_CORE_HANDLE *core;
  OSSL_FUNC_BIO_read_ex_fn *read_bio;
  OSSL_FUNC_core_new_error_fn *new_error;
  OSSL_FUNC_core_vset_error_fn *set_error;
} ProviderContext;

/* registry.c */
SignerKey *registry_add(EVP_PKEY *public_key, napi_env env, napi_ref sign);
SignerKey *registry_hold_by_id(const char *id);
SignerKey *registry_hold(SignerKey *key);
void registry_release(SignerKey *key);
napi_ref registry_remove(const char *id);

/* provider.c */
OSSL_provider_init_fn provider_init;
int refuse(const ProviderContext *provider, const char *why);

/* decoder.c, keymgmt.c, signature.c: the tables that provider.c hands to OpenSSL */
extern const OSSL_ALGORITHM decoder_algorithms[];
extern const OSSL_ALGORITHM keymgmt_algorithms[];
extern const OSSL_ALGORITHM signature_algorithms[];

/* ask.c */
int is_main_thread(void);
int ask_javascript(const ProviderContext *provider, const SignerKey *key, const SignRequest *request,
                   unsigned char *out, size_t *out_size, size_t capacity);

/* Rule, OSSL_DISPATCH(3): a table holds function numbers and generic function pointers, and ends with a zero. */
#define ENTRY(number, function) { number, (void (*)(void))(function) }
#define ENTRY_END { 0, NULL }

/* Rule, property(7): the definition by which a caller can ask for exactly this provider. */
#define PROVIDER_NAME "latebind-tls-signer"
#define PROVIDER_PROPERTY "provider=" PROVIDER_NAME

/* Rule, OSSL_ALGORITHM(3): names separated by colons. libssl knows the kind of a key by these. */
#define RSA_NAMES "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define EC_NAMES "EC:id-ecPublicKey:1.2.840.10045.2.1"

#endif
