-- Three roles that keep apart who may do what. Run it in the database of the customers, as its owner, who may create
-- roles (CREATEROLE) and need not be a superuser. Put your own names for shop and public.mall_customer.

-- The owner runs `segjob migrate` and `segjob drop`.
CREATE ROLE segjob_owner LOGIN;
-- The job runs everything else. What it needs in the two schemas it gets from `migrate`.
CREATE ROLE segjob_job LOGIN;
-- An analyst reads the views, which `migrate` grants.
CREATE ROLE bi_reader LOGIN;

-- The owner makes the two schemas, and hands the labels to the job, for which it has to be a member of it.
GRANT CREATE ON DATABASE shop TO segjob_owner;
GRANT segjob_job TO segjob_owner;

-- The owner reads no customers: it looks at the source's columns, so that the views get the right types.
GRANT USAGE ON SCHEMA public TO segjob_owner, segjob_job;
GRANT SELECT ON public.mall_customer TO segjob_owner, segjob_job;
