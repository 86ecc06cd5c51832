/* What the driver needs of the pool; not part of the public interface. */
#ifndef EF_POOL_H
#define EF_POOL_H

#include <stdbool.h>

#include "ef.h"

/* Linkable between the objects of one program or library, not exported from it. */
#define EF_INTERNAL __attribute__((visibility("hidden")))

/* Does tasks begin <= t < end as thread number `thread` (0 is the caller of the run). */
typedef void (*ef_body)(void *context, int thread, int32_t begin, int32_t end);

EF_INTERNAL uint32_t ef_pool_abi(const ef_pool *pool);
EF_INTERNAL int ef_pool_threads(const ef_pool *pool);

/* Claims the pool for one run; false while another run has it. */
EF_INTERNAL bool ef_pool_enter(ef_pool *pool);
EF_INTERNAL void ef_pool_leave(ef_pool *pool);

/* Calls `body` until every task in 0 <= t < tasks is done, each exactly once; the calling
   thread works too. Returns after the last has finished, with its writes visible. Threads of
   different speed are evened out, unless each is to get its tasks `together`, in one range. */
EF_INTERNAL void ef_pool_run(ef_pool *pool, ef_body body, void *context, int32_t tasks,
                             bool together);

#endif
