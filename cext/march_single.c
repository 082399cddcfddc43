/* The marching solver on 16 lanes of float. */
#define REAL float
#define LANES 16
#include "march.h"

int64_t march_group_size_single(void)
{
    return LANES;
}

int64_t march_memory_single(const march_model *m)
{
    return march_memory(m);
}

void march_solve_single(const march_model *m, const march_arrays *b, int64_t group, void *memory)
{
    march_solve(m, b, group, memory);
}
