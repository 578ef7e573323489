/* The doorway for JavaScript: addKey(publicKey, sign) -> id, removeKey(id). Refusals are thrown with a `code`. */
#include "signer.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

static napi_value throw_error(napi_env env, const char *code, const char *message) {
  napi_throw_error(env, code, message);
  return NULL;
}

/* Runs before JavaScript ends. OpenSSL may hold keys for longer; from now on they refuse. */
static void close_provider(void *data) {
  napi_env env = data;
  void *provider = NULL;
  napi_ref sign;
  while ((sign = registry_remove(NULL)) != NULL) napi_delete_reference(env, sign);
  if (napi_get_instance_data(env, &provider) == napi_ok && provider != NULL) OSSL_PROVIDER_unload(provider);
}

/*
 * Offers the provider, once. Rule, OSSL_PROVIDER(3): try_load with retain_fallbacks leaves the default provider as it
 * was, where a plain load would switch it off unless it had been loaded by name.
 */
static int open_provider(napi_env env) {
  void *provider = NULL;
  if (napi_get_instance_data(env, &provider) != napi_ok) return 0;
  if (provider != NULL) return 1;
  if (!OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, provider_init)) return 0;
  provider = OSSL_PROVIDER_try_load(NULL, PROVIDER_NAME, 1);
  if (provider == NULL) return 0;
  return napi_set_instance_data(env, provider, NULL, NULL) == napi_ok &&
         napi_add_env_cleanup_hook(env, close_provider, env) == napi_ok;
}

/* Reads a SubjectPublicKeyInfo, all of it; NULL when it is none. Keeps OpenSSL's error queue as it was. */
static EVP_PKEY *parse_public_key(const unsigned char *der, size_t size) {
  const unsigned char *end = der;
  ERR_set_mark();
  EVP_PKEY *key = d2i_PUBKEY(NULL, &end, (long)size);
  ERR_pop_to_mark();
  if (key != NULL && end != der + size) {
    EVP_PKEY_free(key);
    return NULL;
  }
  return key;
}

/* addKey(publicKey: Uint8Array, sign: (scheme, hash, digest, saltLength) => Uint8Array | string): string */
static napi_value add_key(napi_env env, napi_callback_info info) {
  size_t count = 2, size;
  napi_value arguments[2], id;
  void *der;
  napi_ref sign;
  if (!is_main_thread()) return throw_error(env, "thread", "the TLS signer works on the main thread only");
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok ||
      napi_get_buffer_info(env, arguments[0], &der, &size) != napi_ok)
    return throw_error(env, "argument", "expected a Uint8Array and a function");
  if (!open_provider(env)) return throw_error(env, "provider", "OpenSSL did not take the provider");
  EVP_PKEY *public_key = parse_public_key(der, size);
  if (public_key == NULL) return throw_error(env, "key", "not a public key in SubjectPublicKeyInfo form");
  SignerKey *key = NULL;
  if (napi_create_reference(env, arguments[1], 1, &sign) == napi_ok) key = registry_add(public_key, env, sign);
  if (key == NULL) {
    EVP_PKEY_free(public_key);
    return throw_error(env, "argument", "expected a function that can be kept");
  }
  return napi_create_string_latin1(env, key->id, NAPI_AUTO_LENGTH, &id) == napi_ok ? id : NULL;
}

/* removeKey(id: string): undefined, also for a key that is not there. */
static napi_value remove_key(napi_env env, napi_callback_info info) {
  size_t count = 1, size;
  napi_value argument;
  char id[KEY_ID_SIZE];
  if (!is_main_thread()) return throw_error(env, "thread", "the TLS signer works on the main thread only");
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
      napi_get_value_string_latin1(env, argument, id, sizeof id, &size) != napi_ok)
    return throw_error(env, "argument", "expected the id that addKey returned");
  napi_ref sign = registry_remove(id);
  if (sign != NULL) napi_delete_reference(env, sign);
  return NULL;
}

static napi_value define(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) != napi_ok) return NULL;
  return napi_set_named_property(env, exports, name, value) == napi_ok ? exports : NULL;
}

NAPI_MODULE_INIT() {
  if (OPENSSL_version_major() != OPENSSL_VERSION_MAJOR)
    return throw_error(env, "openssl", "built for OpenSSL 3, but this node has another");
  if (define(env, exports, "addKey", add_key) == NULL) return NULL;
  return define(env, exports, "removeKey", remove_key);
}
