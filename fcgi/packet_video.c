/* Why: an envelope is paid before its video is published, so the video is bound later, once. */
#include "domain/packet.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"

typedef struct {
	const char *video_id;
} video_body;

static const http_field video_fields[] = {
	{"video_id", HTTP_F_TOKEN, true, offsetof(video_body, video_id), 1, PACKET_VIDEO_MAX_BYTES,
		NULL},
};

typedef struct {
	const app_call_t *call;
	const char *video_id;
	packet_row packet;
} video_tx;

static err_t video_tx_run(db_t *db, void *ctx)
{
	video_tx *t = ctx;
	return packet_bind_video(db, t->call->number, t->call->uid, t->video_id, &t->packet);
}

err_t handle_packet_video(app_call_t *c)
{
	video_body body = {0};
	err_t e =
		http_fields(c->r, video_fields, sizeof video_fields / sizeof *video_fields, &body);
	if (e != ERR_OK)
		return e;
	video_tx t = {.call = c, .video_id = body.video_id};
	e = db_transact(
		c->app->db, (unsigned)conf_i(c->app->p->conf, CONF_DB_TX_TRIES), video_tx_run, &t);
	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	views_packet(w, "packet", &t.packet, c->now_ms, VIEWS_COUNTS);
	jw_obj_end(w);
	return ERR_OK;
}
