/* The other end of srtp_oracle: what libsrtp2 makes of the same packets.
 *
 * Arguments: suite, master key with salt in hexadecimal digits, and optionally a number.
 *
 * Without the number, frames come in: kind (1 octet, 0 RTP, 1 RTCP), length (2 octets, most
 * significant first), protected packet. For each, two frames go out: the packet opened, and that
 * protected again. A fault is a frame of length 0.
 *
 * With it, so many turns of packets of speech are protected and opened, and the nanoseconds of one
 * packet in the best turn printed.
 */
#include <srtp2/srtp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 4096, PLAIN = 172, TURN = 200 };

static void die(const char *what) {
  fprintf(stderr, "libsrtp2: %s\n", what);
  exit(1);
}

static void suite(const char *name, srtp_policy_t *policy) {
  srtp_crypto_policy_t *rtp = &policy->rtp, *rtcp = &policy->rtcp;
  if (!strcmp(name, "AES_CM_128_HMAC_SHA1_80") || !strcmp(name, "AES_CM_128_HMAC_SHA1_32")) {
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtcp);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtp);
    if (strstr(name, "_32")) srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(rtp);
  } else if (!strcmp(name, "AES_192_CM_HMAC_SHA1_80") || !strcmp(name, "AES_192_CM_HMAC_SHA1_32")) {
    srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(rtcp);
    srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(rtp);
    if (strstr(name, "_32")) srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32(rtp);
  } else if (!strcmp(name, "AES_256_CM_HMAC_SHA1_80") || !strcmp(name, "AES_256_CM_HMAC_SHA1_32")) {
    srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtcp);
    srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtp);
    if (strstr(name, "_32")) srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(rtp);
  } else if (!strcmp(name, "AEAD_AES_128_GCM")) {
    srtp_crypto_policy_set_aes_gcm_128_16_auth(rtcp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(rtp);
  } else if (!strcmp(name, "AEAD_AES_256_GCM")) {
    srtp_crypto_policy_set_aes_gcm_256_16_auth(rtcp);
    srtp_crypto_policy_set_aes_gcm_256_16_auth(rtp);
  } else {
    die("unknown suite");
  }
}

static srtp_t context(const char *name, uint8_t *key, srtp_ssrc_type_t whose) {
  srtp_policy_t policy;
  srtp_t made;
  memset(&policy, 0, sizeof policy);
  suite(name, &policy);
  policy.ssrc.type = whose;
  policy.key = key;
  policy.window_size = 1024;
  if (srtp_create(&made, &policy)) die("this build does not have the suite");
  return made;
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e9 + at.tv_nsec;
}

static void speech(uint8_t *packet, int sequence) {
  static const uint8_t header[12] = {0x80, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4};
  memset(packet, 0xd5, PLAIN);
  memcpy(packet, header, sizeof header);
  packet[2] = sequence >> 8;
  packet[3] = sequence;
}

static void measure(const char *name, uint8_t *key, int turns) {
  static uint8_t packets[TURN][256];
  srtp_t out = context(name, key, ssrc_any_outbound), in = context(name, key, ssrc_any_inbound);
  double best_out = 1e9, best_in = 1e9;
  for (int turn = 0; turn < turns; turn++) {
    int length = PLAIN;
    for (int at = 0; at < TURN; at++) speech(packets[at], turn * TURN + at);
    double begin = now();
    for (int at = 0; at < TURN; at++) {
      length = PLAIN;
      if (srtp_protect(out, packets[at], &length)) die("protect");
    }
    double middle = now();
    for (int at = 0; at < TURN; at++) {
      int opened = length;
      if (srtp_unprotect(in, packets[at], &opened)) die("unprotect");
    }
    double end = now();
    if (middle - begin < best_out) best_out = middle - begin;
    if (end - middle < best_in) best_in = end - middle;
  }
  printf("%.1f %.1f\n", best_out / TURN, best_in / TURN);
}

static void answer(int kind, const uint8_t *packet, int length) {
  putchar(kind);
  putchar(length >> 8);
  putchar(length & 255);
  fwrite(packet, 1, length, stdout);
}

int main(int count, char **arguments) {
  uint8_t key[64] = {0}, packet[MOST];
  if (count < 3 || srtp_init()) die("suite and key are needed");
  for (size_t at = 0; at < sizeof key && arguments[2][2 * at]; at++) {
    unsigned octet;
    if (sscanf(arguments[2] + 2 * at, "%2x", &octet) != 1) die("the key is not hexadecimal");
    key[at] = octet;
  }
  if (count > 3) {
    measure(arguments[1], key, atoi(arguments[3]));
    return 0;
  }
  srtp_t out = context(arguments[1], key, ssrc_any_outbound);
  srtp_t in = context(arguments[1], key, ssrc_any_inbound);
  uint8_t head[3];
  while (fread(head, 1, 3, stdin) == 3) {
    int length = head[1] << 8 | head[2];
    if (length > MOST - 256 || (int)fread(packet, 1, length, stdin) != length) die("cut short");
    int fault = head[0] ? srtp_unprotect_rtcp(in, packet, &length) : srtp_unprotect(in, packet, &length);
    if (fault) length = 0;
    answer(head[0], packet, length);
    fault = head[0] ? srtp_protect_rtcp(out, packet, &length) : srtp_protect(out, packet, &length);
    if (fault) length = 0;
    answer(head[0], packet, length);
  }
  return 0;
}
