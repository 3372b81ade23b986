/* lib/net/tls_expiry.c - how long the certificate in a file is good. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "lib/net/tls.h"

#define DAY_S 86400

int64_t tls_file_expiry(const char *file)
{
	BIO *in = BIO_new_file(file, "r");
	X509 *x = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;

	if (x == NULL || epoch == NULL || ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(x)) != 1)
		days = seconds = 0;
	ASN1_TIME_free(epoch);
	X509_free(x);
	BIO_free(in);
	ERR_clear_error(); /* a file without certificate is no error here */
	return (int64_t)days * DAY_S + seconds;
}
