#include "server/handlers.h"

#include "server/admin_service.h"
#include "server/log_service.h"
#include "server/services.h"
#include "server/watch_service.h"

/* Health and reflection know nothing of our services; each gets its own part. */

static struct health *health_of(void *service) { return ((struct services *)service)->health; }
static struct reflection *reflection_of(void *service) { return ((struct services *)service)->reflection; }

static void check(void *service, struct rpc_call *call, struct blob *message) { health_check(health_of(service), call, message); }
static void watch(void *service, struct rpc_call *call, struct blob *message) { health_watch(health_of(service), call, message); }
static void watch_sent(void *service, struct rpc_call *call) { health_watch_sent(health_of(service), call); }
static void watch_closed(void *service, struct rpc_call *call, bool cancelled) {
  health_watch_closed(health_of(service), call, cancelled);
}
static void reflect_opened(void *service, struct rpc_call *call) { reflection_opened(reflection_of(service), call); }
static void reflect(void *service, struct rpc_call *call, struct blob *message) {
  reflection_message(reflection_of(service), call, message);
}
static void reflect_half_closed(void *service, struct rpc_call *call) { reflection_half_closed(reflection_of(service), call); }
static void reflect_sent(void *service, struct rpc_call *call) { reflection_sent(reflection_of(service), call); }

#define LOG "/cairn.v1.Log/"
#define ADMIN "/cairn.v1.Admin/"

const struct rpc_handler service_handlers[] = {
    {LOG "Append", RPC_UNARY, .message = log_service_append},
    {LOG "AppendStream", RPC_BIDI_STREAM, log_service_stream_opened, log_service_stream_message, log_service_stream_refused,
     log_service_stream_half_closed, log_service_stream_sent, log_service_stream_closed, NULL},
    {LOG "Read", RPC_UNARY, .message = log_service_read, .closed = log_service_read_closed},
    {LOG "Tail", RPC_SERVER_STREAM, .message = log_service_tail, .sent = log_service_tail_sent,
     .closed = log_service_tail_closed},
    {LOG "DescribePartition", RPC_UNARY, .message = log_service_describe},
    {LOG "FindOffset", RPC_UNARY, .message = log_service_find_offset},
    {LOG "Trim", RPC_UNARY, .message = log_service_trim},
    {LOG "OpenProducer", RPC_UNARY, .message = log_service_open_producer},
    {LOG "ListProducers", RPC_UNARY, .message = log_service_list_producers},
    {LOG "ForgetProducer", RPC_UNARY, .message = log_service_forget_producer},

    {ADMIN "CreateTopic", RPC_UNARY, .message = admin_service_create_topic},
    {ADMIN "ListTopics", RPC_UNARY, .message = admin_service_list_topics},
    {ADMIN "DescribeTopic", RPC_UNARY, .message = admin_service_describe_topic},
    {ADMIN "AlterTopic", RPC_UNARY, .message = admin_service_alter_topic},
    {ADMIN "AddPartitions", RPC_UNARY, .message = admin_service_add_partitions},
    {ADMIN "DeleteTopic", RPC_UNARY, .message = admin_service_delete_topic},
    {ADMIN "MovePartition", RPC_UNARY, .message = admin_service_move_partition},
    {ADMIN "TransferLeadership", RPC_UNARY, .message = admin_service_transfer_leadership},
    {ADMIN "CancelMove", RPC_UNARY, .message = admin_service_cancel_move},
    {ADMIN "ListMoves", RPC_UNARY, .message = admin_service_list_moves},
    {ADMIN "PlanReassignment", RPC_UNARY, .message = admin_service_plan_reassignment},
    {ADMIN "SetBrokerStanding", RPC_UNARY, .message = admin_service_set_broker_standing},
    {ADMIN "RaiseFeatureLevel", RPC_UNARY, .message = admin_service_raise_feature_level},
    {ADMIN "DescribeBroker", RPC_UNARY, .message = admin_service_describe_broker},
    {ADMIN "DescribeCluster", RPC_UNARY, .message = admin_service_describe_cluster},
    {ADMIN "WatchCluster", RPC_SERVER_STREAM, .message = watch_service_watch, .sent = watch_service_sent,
     .closed = watch_service_closed},

    {HEALTH_CHECK_METHOD, RPC_UNARY, .message = check},
    {HEALTH_WATCH_METHOD, RPC_SERVER_STREAM, .message = watch, .sent = watch_sent, .closed = watch_closed},
    {REFLECTION_V1_METHOD, RPC_BIDI_STREAM, reflect_opened, reflect, NULL, reflect_half_closed, reflect_sent, NULL, NULL},
    {REFLECTION_V1ALPHA_METHOD, RPC_BIDI_STREAM, reflect_opened, reflect, NULL, reflect_half_closed, reflect_sent, NULL, NULL},
};
const size_t service_handler_count = sizeof service_handlers / sizeof service_handlers[0];
