/* What the marching solver is given; pointers are to float or double, as the solver is compiled. */
#ifndef SPICESIM_MARCH_MODEL_H
#define SPICESIM_MARCH_MODEL_H

#include <stdint.h>

typedef struct {
    int rows, columns, v_terms, folds, u_terms, step_limit, fields;
    int gated;                       /* whether rows may be off: the matrices of the unknowns are then near, not right */
    const void *coefficients;        /* (rows, columns, v_terms, u_terms), see cell.h */
    const void *slope;               /* (rows, columns) chord slopes D of the cells [S] */
    const void *share;               /* (rows, columns) of a node's voltage from its left neighbour */
    const void *r_word, *r_bit;      /* (rows, columns) segments to the left of a node and below it [ohm] */
    const void *r_head;              /* (rows,) driver resistance [ohm] */
    const void *head;                /* (rows,) chord admittance from the first node of a row [S] */
    const void *tail;                /* (rows,) conductance from the last node to the source, or NULL [S] */
    const void *top_u, *top_i;       /* (columns,) voltage at the top and current from there, a unit of the unknown */
    const void *r_sense;             /* (columns,) [ohm]; of an open foot a scale for the current that must not flow */
    const void *foot;                /* (columns,) 1, or 0 for an open foot */
    const void *correction;          /* (columns, columns) unknown k a unit of the error at foot j: [j][k] */
    const void *response;            /* (columns, columns) current of foot k, of an open one its voltage, a unit of unknown j: [j][k] */
    const void *row_response;        /* (columns, rows) current of driver i a unit of unknown j: [j][i] */
    const void *guess;               /* (rows, columns) unknown k a volt at source i */
    const void *profile;             /* (rows, columns) word-line voltage a volt at its source, first guess */
    const void *driver_values, *driver_slopes; /* (tables, points) as in port.h, or NULL */
    const void *sense_values, *sense_slopes;   /* the same */
    int64_t driver_points, sense_points;
    double driver_start, driver_step, sense_start, sense_step;
    const int64_t *sense_index;       /* (columns,) */
    double driver_chord, sense_chord; /* resistances in r_head and r_sense that stand for the tables [ohm] */
    const void *admittance;           /* (columns, columns) current of foot k a volt of misfit at foot j [S] */
    const void *row_guess;            /* (rows, rows) current of driver k a volt at source i [S] */
    double largest;                   /* slope of a cell [S] */
    double defect, defect_u, spread; /* |dI/dV - D| [S], |dI/du| [S], change of V and u a unit of unknown: bounds */
    double tolerance;                /* of a cell's current, a volt of the greatest input [S] */
} march_model;

typedef struct {
    int64_t count;
    const double *v;      /* IN (batch, rows) [V] */
    const int64_t *driver_index; /* IN (batch, rows), or NULL */
    const double *mask;   /* IN (batch, rows) 1, or 0 where the cells of a row are off; NULL unless gated */
    double *currents;     /* OUT (batch, columns) into the feet [A]; of open feet their voltages [V] */
    double *top_currents; /* OUT (batch, columns) into the tops [A] */
    double *row_currents; /* OUT (batch, rows) from the sources [A] */
    double *residual;     /* OUT (batch,) [A] */
    double *extents;      /* OUT (batch, 4): least and greatest V, then u [V] */
    int64_t *steps;       /* OUT (batch,); negative: did not arrive */
    double *word, *bit;   /* OUT (batch, rows, columns) node voltages [V], or NULL */
} march_arrays;

typedef struct {
    int64_t count;
    const double *v;      /* IN (batch, rows) [V] */
    const double *top;    /* IN (batch, columns) the unknowns, or NULL for 0 */
    double *feet;         /* OUT (batch, columns) voltages of the feet [V], or NULL for none of the three */
    double *currents;     /* OUT (batch, columns) into the feet [A] */
    double *row_currents; /* OUT (batch, rows) from the sources [A] */
    float *across, *bit;  /* OUT (rows, columns, batch) voltages across the cells and of bit-line nodes [V], or NULL */
    int64_t row_stride, column_stride; /* of these two */
} march_linear_arrays;

/* The solver for one precision and width. */
typedef struct {
    int64_t lanes; /* vectors of a group */
    int64_t (*memory)(const march_model *m); /* bytes of a thread */
    void (*solve)(const march_model *m, const march_arrays *b, int64_t group, void *memory);
    void (*linear)(const march_model *m, const march_linear_arrays *b, int64_t group, void *memory);
} march_kernel;

extern const march_kernel march_float8, march_float16, march_double4, march_double8;

/* Return the solver whose lanes fill one register: of wider ones compilers make scalars where lanes are compared. */
static inline const march_kernel *march_choose(int single)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    /* all that x86-64-v4 has, by name: compilers know the level itself only since GCC 12 */
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return single ? &march_float16 : &march_double8;
#endif
    return single ? &march_float8 : &march_double4;
}

#endif
