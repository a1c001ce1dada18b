select world.chain('u57', '88657');
select world.subscriber('desk@u57.example', 'u57-customer', 'demo-secret', null);
select world.subscriber('main@u57.example', 'u57-customer', 'demo-secret', null);
select world.subscriber_option('main@u57.example', 'kind', 'pilot');
select world.did('886572000001', 'main@u57.example');
select world.extension('21', 'u57-customer', 'desk@u57.example');
