/* lib/base/banned.h - calls that are not used here, made compile errors. Included in every file by the build. */
#ifndef GATEPOST_LIB_BASE_BANNED_H
#define GATEPOST_LIB_BASE_BANNED_H

#include <ctype.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#undef alloca /* a macro in gcc's headers */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol localtime gmtime system mktemp alloca

#endif
