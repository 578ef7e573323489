/* Which keys there are: the one piece of global state. Its lock also guards every key's count of holders. */
#include "signer.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
  pthread_mutex_t lock;
  SignerKey *first;
  uint64_t last_id;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Takes over `public_key` and `sign`; NULL without memory, and then takes nothing. */
SignerKey *registry_add(EVP_PKEY *public_key, napi_env env, napi_ref sign) {
  SignerKey *key = OPENSSL_zalloc(sizeof *key);
  if (key == NULL) return NULL;
  key->holders = 1;
  key->public_key = public_key;
  key->env = env;
  key->sign = sign;
  pthread_mutex_lock(&registry.lock);
  snprintf(key->id, sizeof key->id, "%016" PRIx64, ++registry.last_id);
  key->next = registry.first;
  registry.first = key;
  pthread_mutex_unlock(&registry.lock);
  return key;
}

/* The place that points to the key called `id`, or to any key where `id` is NULL; it holds NULL when there is none. */
static SignerKey **find_link(const char *id) {
  SignerKey **link = &registry.first;
  while (*link != NULL && id != NULL && strcmp((*link)->id, id) != 0) link = &(*link)->next;
  return link;
}

SignerKey *registry_hold_by_id(const char *id) {
  pthread_mutex_lock(&registry.lock);
  SignerKey *key = *find_link(id);
  if (key != NULL) key->holders++;
  pthread_mutex_unlock(&registry.lock);
  return key;
}

SignerKey *registry_hold(SignerKey *key) {
  pthread_mutex_lock(&registry.lock);
  key->holders++;
  pthread_mutex_unlock(&registry.lock);
  return key;
}

/* Any thread may be the last to let go, so only plain memory is freed here and nothing of JavaScript's. */
void registry_release(SignerKey *key) {
  if (key == NULL) return;
  pthread_mutex_lock(&registry.lock);
  int holders = --key->holders;
  pthread_mutex_unlock(&registry.lock);
  if (holders > 0) return;
  EVP_PKEY_free(key->public_key);
  OPENSSL_free(key);
}

/*
 * Main thread. Forgets the key called `id`, or any key where `id` is NULL: who still holds it can no longer sign.
 * Returns the function that the caller must let go; NULL when there is no such key.
 */
napi_ref registry_remove(const char *id) {
  pthread_mutex_lock(&registry.lock);
  SignerKey **link = find_link(id);
  SignerKey *key = *link;
  if (key != NULL) *link = key->next;
  pthread_mutex_unlock(&registry.lock);
  if (key == NULL) return NULL;
  napi_ref sign = key->sign;
  key->sign = NULL;
  registry_release(key);
  return sign;
}
