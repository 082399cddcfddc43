/* The marching solver on 8 lanes of double, and the march of linear cells. */
#include "march.h"

int64_t march_group_size_double(void)
{
    return LANES;
}

int64_t march_memory_double(const march_model *m)
{
    return march_memory(m);
}

void march_solve_double(const march_model *m, const march_arrays *b, int64_t group, void *memory)
{
    march_solve(m, b, group, memory);
}

/* March linear cells from given unknowns. */
CPU_CLONES
void march_linear_double(const march_model *m, const march_linear_arrays *b, int64_t group, void *memory)
{
    march_workspace w = march_workspace_in(memory, m);
    const int rows = m->rows, columns = m->columns;
    const int64_t first = group * LANES;
    const int filled = b->count - first < LANES ? (int)(b->count - first) : LANES;
    march_load(m, &w, b->count, first, b->v, NULL);
    for (int j = 0; j < columns; j++)
        for (int l = 0; l < LANES; l++)
            w.top[j][l] = b->top ? b->top[(first + (l < filled ? l : filled - 1)) * columns + j] : 0;
    w.linear = b->across || b->bit ? b : NULL;
    w.first = first;
    march_down(m, &w, 0, (lane_mask){0});
    if (!b->feet)
        return;
    for (int l = 0; l < filled; l++) {
        for (int j = 0; j < columns; j++) {
            b->feet[(first + l) * columns + j] = w.u[j][l];
            b->currents[(first + l) * columns + j] = w.carried[j][l];
        }
        for (int i = 0; i < rows; i++)
            b->row_currents[(first + l) * rows + i] = w.delivered[i][l];
    }
}
