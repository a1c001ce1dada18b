select world.chain('u44', '88644');
select world.subscriber('pbx@u44.example', 'u44-customer', 'demo-secret', null);
select world.subscriber_option('pbx@u44.example', 'kind', 'trunk');
select world.did('886442000001', 'pbx@u44.example');
