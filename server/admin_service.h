/* cairn.v1.Admin: topics and their settings, who this broker is, and who the others are. Handlers run on the transport's thread and only unpack;
 * everything else happens on lane 0, where the cluster map is. A change is answered when group 0 has committed it, and a new topic when its
 * partitions are open here, so that an append right behind the answer succeeds.
 */
#ifndef CAIRN_SERVER_ADMIN_SERVICE_H
#define CAIRN_SERVER_ADMIN_SERVICE_H

#include "base/rpc.h"

void admin_service_create_topic(void *services, struct rpc_call *call, struct blob *message);
void admin_service_list_topics(void *services, struct rpc_call *call, struct blob *message);
void admin_service_describe_topic(void *services, struct rpc_call *call, struct blob *message);
void admin_service_alter_topic(void *services, struct rpc_call *call, struct blob *message);
void admin_service_add_partitions(void *services, struct rpc_call *call, struct blob *message);
void admin_service_delete_topic(void *services, struct rpc_call *call, struct blob *message);
void admin_service_move_partition(void *services, struct rpc_call *call, struct blob *message);
void admin_service_transfer_leadership(void *services, struct rpc_call *call, struct blob *message);
void admin_service_cancel_move(void *services, struct rpc_call *call, struct blob *message);
void admin_service_list_moves(void *services, struct rpc_call *call, struct blob *message);
void admin_service_plan_reassignment(void *services, struct rpc_call *call, struct blob *message);
void admin_service_set_broker_standing(void *services, struct rpc_call *call, struct blob *message);
void admin_service_raise_feature_level(void *services, struct rpc_call *call, struct blob *message);
void admin_service_describe_broker(void *services, struct rpc_call *call, struct blob *message);
void admin_service_describe_cluster(void *services, struct rpc_call *call, struct blob *message);

#endif
