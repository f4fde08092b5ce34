/* Preloaded into baresip: writes the TLS secrets of every context to $SSLKEYLOGFILE, so that tshark
 * can read the signalling. OpenSSL 3.0 has the callback, but no setting that reaches it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef SSL_CTX *make_context(const void *method);

void SSL_CTX_set_keylog_callback(SSL_CTX *context, void (*callback)(const SSL *, const char *));

static void write_secret(const SSL *connection, const char *line)
{
    const char *path = getenv("SSLKEYLOGFILE");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;

    (void)connection;
    if (file >= 0) {
        dprintf(file, "%s\n", line);
        close(file);
    }
}

SSL_CTX *SSL_CTX_new(const void *method)
{
    make_context *original = (make_context *)dlsym(RTLD_NEXT, "SSL_CTX_new");
    SSL_CTX *context = original(method);

    if (context)
        SSL_CTX_set_keylog_callback(context, write_secret);
    return context;
}
