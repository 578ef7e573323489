/* The question to JavaScript, asked and answered within one call: TLS waits meanwhile. */
#include "signer.h"
#include <string.h>
#include <unistd.h>

/* Rule, gettid(2): the thread that began the process bears the process's number; node runs the main script on it. */
int is_main_thread(void) { return gettid() == getpid(); }

/* sign(scheme, hash, digest, saltLength); 0 when JavaScript cannot run or threw. */
static int call_sign(const SignerKey *key, const SignRequest *request, napi_value *answer) {
  napi_env env = key->env;
  napi_value sign, nothing, arguments[4];
  void *copy;
  return napi_get_reference_value(env, key->sign, &sign) == napi_ok && napi_get_undefined(env, &nothing) == napi_ok &&
         napi_create_string_latin1(env, request->scheme, NAPI_AUTO_LENGTH, &arguments[0]) == napi_ok &&
         napi_create_string_latin1(env, request->hash, NAPI_AUTO_LENGTH, &arguments[1]) == napi_ok &&
         napi_create_buffer_copy(env, request->digest_size, request->digest, &copy, &arguments[2]) == napi_ok &&
         napi_create_int32(env, request->salt_length, &arguments[3]) == napi_ok &&
         napi_call_function(env, nothing, sign, 4, arguments, answer) == napi_ok;
}

/*
 * An exception must not stay pending: it would surface in whatever JavaScript runs next, far from its cause.
 * `sign` is the doorway's own wrapper, which catches what signers throw, so only the engine itself throws here.
 */
static int refuse_exception(const ProviderContext *provider, napi_env env) {
  napi_value exception;
  bool is_pending = false;
  if (napi_is_exception_pending(env, &is_pending) == napi_ok && is_pending)
    napi_get_and_clear_last_exception(env, &exception);
  return refuse(provider, "JavaScript could not be asked");
}

/* Bytes are the signature; text is the reason why there is none. */
static int read_answer(const ProviderContext *provider, napi_env env, napi_value value, unsigned char *out,
                       size_t *out_size, size_t capacity) {
  char why[256];
  size_t size;
  void *bytes;
  bool is_bytes = false;
  if (napi_get_value_string_utf8(env, value, why, sizeof why, &size) == napi_ok) return refuse(provider, why);
  if (napi_is_buffer(env, value, &is_bytes) != napi_ok || !is_bytes ||
      napi_get_buffer_info(env, value, &bytes, &size) != napi_ok)
    return refuse(provider, "the signer's answer is not a Uint8Array");
  if (size > capacity) return refuse(provider, "the signer's answer is too long for this key");
  memcpy(out, bytes, size);
  *out_size = size;
  return 1;
}

/* Writes at most `capacity` bytes of signature to `out`; 0 after a refusal. */
int ask_javascript(const ProviderContext *provider, const SignerKey *key, const SignRequest *request,
                   unsigned char *out, size_t *out_size, size_t capacity) {
  napi_handle_scope scope;
  napi_value value;
  if (!is_main_thread()) return refuse(provider, "keys of the TLS signer work on the main thread only");
  if (key->sign == NULL) return refuse(provider, "the key was removed");
  if (napi_open_handle_scope(key->env, &scope) != napi_ok) return refuse(provider, "JavaScript has ended");
  int answered = call_sign(key, request, &value) ? read_answer(provider, key->env, value, out, out_size, capacity)
                                                 : refuse_exception(provider, key->env);
  napi_close_handle_scope(key->env, scope);
  return answered;
}
