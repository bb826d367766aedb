/* Tells metrics what the parts of the service know. Threading: called once, before threads start. */
#ifndef FRT_HTTP_METRICS_SOURCES_H
#define FRT_HTTP_METRICS_SOURCES_H

#include "http/service.h"

/** service  its context and metrics stand and outlive every rendering. */
void http_metrics_connect(struct http_service *service);

#endif
